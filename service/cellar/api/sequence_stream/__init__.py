"""A sequence of any length in one request: read, run and answered chunk by chunk."""
