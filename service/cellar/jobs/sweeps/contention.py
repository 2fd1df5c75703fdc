"""Repetitions of changes of a sweep that other threads and processes overtake."""

import random
import time
from collections.abc import Iterator

from cellar.errors import Overloaded

TRIES = 40
"""Most tries of a change."""

FIRST_S, LONGEST_S = 0.002, 0.2
"""The longest pause after the first try, and the longest one of all: each may be twice as long as the one before it."""


def tries() -> Iterator[int]:
    """Yield the number of each try, from 0, with a random pause between two, so that many that try are spread."""
    for number in range(TRIES):
        if number:
            time.sleep(random.uniform(0, min(LONGEST_S, FIRST_S * 2 ** (number - 1))))  # noqa: S311  # no secret
        yield number


def overtaken(sweep: str) -> Overloaded:
    """Return the error of a change of a sweep that was overtaken each time."""
    return Overloaded(f"the sweep {sweep!r} changes too often now: send the request again")
