"""Requests and answers about the events of jobs and about sweeps."""
