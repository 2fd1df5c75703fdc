"""Blobs of models, jobs and datasets, in a directory or in Redis."""
