"""Reads and writes arrays as npy files, as safetensors files and as bytes of states."""
