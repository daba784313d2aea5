"""Kernels of another architecture as programs that an emulator runs on this machine."""
