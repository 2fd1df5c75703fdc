"""Requests for steps and states, decoded."""
