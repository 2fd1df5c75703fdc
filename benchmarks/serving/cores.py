"""Chooses two cores: one for the measured service, one for the load and Redis."""

import os
from dataclasses import dataclass


class TooFewCores(RuntimeError):
    """The benchmark needs two cores."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Two of the machine's cores.

    `outside` runs the load and Redis, which are other machines in a deployment. `service` runs the service, a baseline
    or a peer, and nothing else. A client that loads Redis directly takes the place of the service, and its core.
    """

    service: int
    outside: int


def choose() -> Cores:
    """Return two of the cores that this process may use; the first one is for the measured service."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise TooFewCores("one core for the service and one for the load are needed; this process may use one only")
    return Cores(mine[0], mine[1])
