"""Sends the events of sessions to subscribers."""
