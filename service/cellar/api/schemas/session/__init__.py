"""Requests and answers for sessions, steps, states, events and streams."""
