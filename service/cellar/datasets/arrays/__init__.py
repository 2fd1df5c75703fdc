"""Reads files of arrays: npy, npz and safetensors."""
