"""Converts numbers in JSON to float32 arrays."""
