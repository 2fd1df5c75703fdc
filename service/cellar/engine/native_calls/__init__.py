"""The native functions that run a whole network in one call from Python."""
