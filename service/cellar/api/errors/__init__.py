"""Errors as problem documents: where the fault is, and what the client probably meant."""
