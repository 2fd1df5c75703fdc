"""The HTTP protocol of the server: strict parsing, limits for each connection, and a fast path for steps."""
