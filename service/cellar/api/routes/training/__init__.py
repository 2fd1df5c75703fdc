"""Routes of training jobs and sweeps."""
