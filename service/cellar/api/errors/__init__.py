"""Errors as problem documents, with the place and what was meant."""
