"""Keeps large blocks of bytes, such as weights, out of memory while they are not needed."""
