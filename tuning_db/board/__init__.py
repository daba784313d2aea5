"""The board: who is ahead in a release, how ready each chip is, how the race went, what a head start is worth."""
