"""Raises the process's limit of open files, and limits the number of connections to fit it."""

import resource

RESERVED = 256
"""Open files that are reserved for Redis, the compiler, the kernel cache and the log."""


def allow_all() -> int:
    """Raise the limit of open files to the hard limit; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connections_within(most: int, files: int) -> int:
    """Return how many connections, at most `most`, fit into a limit of open files, with some files in reserve.

    >>> connections_within(16384, 1024), connections_within(16384, 10**6), connections_within(16384, 64)
    (768, 16384, 32)
    """
    return min(most, max(files - RESERVED, files // 2))
