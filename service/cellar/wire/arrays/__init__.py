"""Arrays as npy files, safetensors and state blobs."""
