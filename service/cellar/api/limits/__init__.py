"""Limits of what one client, or all of them, may take."""
