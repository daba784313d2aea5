"""What is timed against each other: a module a peer, with one function ``load``; see ``tuner.bench.loaded``."""
