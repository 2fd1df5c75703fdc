"""Redis and blobs behind the ports."""
