"""The HTTP server protocol: strict parsing, limits for each connection, and a fast path for steps."""
