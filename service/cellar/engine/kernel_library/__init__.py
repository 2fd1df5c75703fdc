"""Functions that run inside kernels."""
