"""The base class of schedules, which give the learning rate of each epoch, in plain float64 arithmetic.

The cos and pow of libraries may differ between machines.
"""

from cellar.nn.spec.base import Frozen


class Schedule(Frozen):
    """The base of all schedules. The docstring of each is its line in the docs and in the JSON schema."""

    type: str

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return the learning rate of an epoch, counted from 0, out of `epochs`; `base` is the optimiser's."""
        raise NotImplementedError


def power(base: float, exponent: int) -> float:
    """Return base ** exponent by repeated squaring."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
