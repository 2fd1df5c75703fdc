"""Longer operations on sessions: snapshots, forks, long sequences, deletions of models."""
