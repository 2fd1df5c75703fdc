"""A decorator that caches results for headers that clients repeat, within limited memory."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar, TypeVarTuple

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

LONGEST = 256
"""Longest header in the cache, bytes or characters. Usual ones have under a hundred."""

MOST = 256
"""Results of one function in the cache: with LONGEST, a few hundred kilobytes at most."""


def memoized(function: Callable[[*Arguments], Result]) -> Callable[[*Arguments], Result]:
    """Return the function with a cache of its last results, except those for long arguments of clients."""
    cached = lru_cache(maxsize=MOST)(function)

    @wraps(function)
    def call(*arguments: *Arguments) -> Result:
        """Call the function, through the cache if all arguments are short."""
        for argument in arguments:
            if isinstance(argument, (str, bytes)) and len(argument) > LONGEST:
                return function(*arguments)
        return cached(*arguments)

    return call
