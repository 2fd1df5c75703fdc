"""Reads files of text: their encoding, dialect, header and rows."""
