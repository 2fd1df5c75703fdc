"""Ports of this host for servers that cannot be asked to choose one themselves."""

import random
import socket

LOWEST, HIGHEST = 10_000, 22_000
"""With the 10,000 that a cluster adds for its bus still below the ports that connections are given at random."""


def free_port(*offsets: int) -> int:
    """Return a port that is free together with those so far behind it. Another process may take it meanwhile."""
    while True:
        port = random.randrange(LOWEST, HIGHEST)
        if all(_is_free(port + offset) for offset in (0, *offsets)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
