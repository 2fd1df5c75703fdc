"""Limits of the memory and the time that one client, or all together, may use."""
