"""Limits of memory and time, for each client and for the whole process."""
