"""Connections to Redis: pipelining, transactions, retries, routing, and what a server must allow."""
