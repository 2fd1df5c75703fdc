"""Converts errors to problem documents, with the place of the fault and a suggestion for the client."""
