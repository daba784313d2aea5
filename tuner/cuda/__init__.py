"""CUDA kernels: compiled by nvcc, loaded and timed through the driver."""
