"""Metrics: what each process counts, the page of memory that processes share, and the text that Prometheus reads."""
