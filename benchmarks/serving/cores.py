"""Who runs where: what is measured has a core of its own, and all that it talks to has the other."""

import os
from dataclasses import dataclass


class TooFewCores(RuntimeError):
    """The benchmark needs two cores."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Two of the machine's cores.

    `outside` has the load and Redis, which in a deployment are other machines; the service, a floor or a peer never
    shares `service` with either. A client that floods Redis takes the service's place, and so its core.
    """

    service: int
    outside: int


def choose() -> Cores:
    """Return two of the cores that this process may use, and leave the first to what is measured."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise TooFewCores("one core for the service and one for the load are needed; this process may use one only")
    return Cores(mine[0], mine[1])
