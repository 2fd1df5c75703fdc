"""Commands about datasets, training jobs and sweeps of a running service."""
