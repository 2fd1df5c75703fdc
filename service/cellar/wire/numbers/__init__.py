"""Numbers in JSON as float32 arrays."""
