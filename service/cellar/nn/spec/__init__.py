"""Base classes of specifications: frozen values that are read from JSON."""
