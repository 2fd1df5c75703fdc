"""A sequence of any length in one request, which is read, run and answered in chunks."""
