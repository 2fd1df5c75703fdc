"""Bytes and decoded JSON to arrays and back: strict on the way in, exact on the way out."""
