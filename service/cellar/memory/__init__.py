"""Limits the memory of requests, and keeps large blocks of bytes, such as weights, in files while not needed."""
