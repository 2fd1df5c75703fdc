"""Schedules requests: a queue for each session, dispatch to kernels, and commits."""
