"""Submission of training jobs: their data, their specification, and the jobs that they continue."""
