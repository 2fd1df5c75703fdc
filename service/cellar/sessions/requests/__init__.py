"""Requests that wait: what they are, how many may wait, and when they are committed together."""
