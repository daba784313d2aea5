"""The service as a repository of The Update Framework: who signs what, and what is taken and kept."""
