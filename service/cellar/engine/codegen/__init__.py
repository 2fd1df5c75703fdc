"""Writes the source text of a kernel from its memory plan."""
