"""Getting tuned kernels to where they run: trust, transfer, lock file, and the way back."""
