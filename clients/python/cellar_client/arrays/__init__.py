"""Bytes to arrays and back: inputs of any kind, npy files, safetensors files and frames."""
