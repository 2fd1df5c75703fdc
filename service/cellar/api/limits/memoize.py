"""Answers to what clients send again and again, kept in bounded memory."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar, TypeVarTuple

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

LONGEST = 256
"""Bytes or characters of a header that is remembered. Usual ones have under a hundred; a longer one is read anew."""

MOST = 256
"""Results of one function that are remembered: with LONGEST, at most some hundred kilobytes."""


def remembered(function: Callable[[*Arguments], Result]) -> Callable[[*Arguments], Result]:
    """Return the function with a cache of its last results, but not of those whose arguments are long.

    A cache that is bounded by its number of entries alone keeps as much as clients care to send.
    """
    cached = lru_cache(maxsize=MOST)(function)

    @wraps(function)
    def call(*arguments: *Arguments) -> Result:
        for argument in arguments:
            if isinstance(argument, (str, bytes)) and len(argument) > LONGEST:
                return function(*arguments)
        return cached(*arguments)

    return call
