"""The HTTP protocol of the server: strict, bounded, and with a short way for steps."""
