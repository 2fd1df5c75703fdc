"""The base class of schedules, which give the learning rate of each epoch or update, in plain float64 arithmetic.

The cos and pow of libraries may differ between machines.
"""

from dataclasses import dataclass
from typing import ClassVar

from cellar.nn.spec.base import Frozen


@dataclass(frozen=True, slots=True)
class Watched:
    """The state of a schedule that depends on losses."""

    reference: float
    """The loss of the last epoch that improved."""
    waited: int
    """Epochs since then, or since the last reduction."""
    reductions: int


class Schedule(Frozen):
    """The base of all schedules. The docstring of each is its line in the docs and in the JSON schema."""

    type: str
    by_update: ClassVar[bool] = False
    """Whether `rate` counts updates in place of epochs."""

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return the learning rate of an epoch, counted from 0, out of `epochs`; `base` is the optimiser's."""
        raise NotImplementedError

    def rate_after(self, watched: Watched | None, base: float, epoch: int, epochs: int) -> float:
        """Return the learning rate after the losses that `watch` was given."""
        return self.rate(base, epoch, epochs)

    def watch(self, watched: Watched | None, loss: float) -> Watched | None:
        """Return the state after an epoch with this loss; None for a schedule that does not depend on losses."""
        return None


def power(base: float, exponent: int) -> float:
    """Return base ** exponent by repeated squaring."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def half_cosine(u: float) -> float:
    """Return (1 + cos(pi u)) / 2 for u in [0, 1], within 1e-15.

    It is cos(pi u / 2)**2. Of v = pi u / 2 in [0, pi/2] the Taylor series with 12 terms leaves v**24 / 24! < 9e-20.
    """
    v = 1.5707963267948966 * u
    square, term, cosine = v * v, 1.0, 1.0
    for k in range(1, 12):
        term *= -square / ((2 * k - 1) * (2 * k))
        cosine += term
    return cosine * cosine
