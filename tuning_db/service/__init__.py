"""The service: a shared database over HTTP, for people who see different things of it."""
