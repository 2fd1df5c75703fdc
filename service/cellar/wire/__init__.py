"""Converts between bytes or JSON and arrays. Input is checked strictly; output has the exact numbers."""
