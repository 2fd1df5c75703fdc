"""Commits: the script call of each, a faster way to write most of them, the pipeline that sends them, and results."""
