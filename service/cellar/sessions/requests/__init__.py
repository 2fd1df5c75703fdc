"""Requests to change sessions: their states, admission, batches, and group commit."""
