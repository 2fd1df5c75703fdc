"""Compiles the source text of kernels to machine code in other processes, caches it, and loads it."""
