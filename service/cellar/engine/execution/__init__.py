"""Runs compiled cells and networks on arrays."""
