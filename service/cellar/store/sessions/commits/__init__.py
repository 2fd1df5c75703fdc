"""Commits of sessions: encodes them as script calls, sends them in a pipeline, and reads the results."""
