"""Connections to Redis: pipelining, transactions, retries, routing, notifications, and checks of the server."""
