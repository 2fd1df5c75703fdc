"""Sweeps: searches over the settings of a training job, whose trials are jobs."""
