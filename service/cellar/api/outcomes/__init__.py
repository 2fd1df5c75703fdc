"""The outcome of each request, known in one place: for the log and for counters."""
