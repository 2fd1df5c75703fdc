"""Decodes JSON strictly: documents, lines, and long documents with arrays of numbers."""
