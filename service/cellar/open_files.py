"""Files that a process may have open: as many as the system lets it."""

import resource

RESERVED = 256
"""Files that are kept for Redis, the compiler, the kernel cache and the log."""


def allow_all() -> int:
    """Raise the limit of open files to the highest that this process may set; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connections_within(most: int, files: int) -> int:
    """Return how many of `most` connections fit into so many files, with others to spare.

    >>> connections_within(16384, 1024), connections_within(16384, 10**6), connections_within(16384, 64)
    (768, 16384, 32)
    """
    return min(most, max(files - RESERVED, files // 2))
