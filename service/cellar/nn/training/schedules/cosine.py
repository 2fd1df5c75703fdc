"""A learning rate that falls by half a cosine."""

from typing import Annotated, Literal

from pydantic import Field

from cellar.nn.training.schedule import Schedule


class CosineSchedule(Schedule):
    """The learning rate follows half a cosine from the first epoch down to `minimum` after the last one."""

    type: Literal["cosine"]
    minimum: Annotated[float, Field(ge=0, le=1e6)] = 0.0

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return minimum + (base - minimum) (1 + cos(pi epoch / epochs)) / 2."""
        return self.minimum + (base - self.minimum) * _half_cosine(epoch / epochs)


def _half_cosine(u: float) -> float:
    """Return (1 + cos(pi u)) / 2 for u in [0, 1], within 1e-15.

    It is cos(pi u / 2)**2. Of v = pi u / 2 in [0, pi/2] the Taylor series with 12 terms leaves v**24 / 24! < 9e-20.
    """
    v = 1.5707963267948966 * u
    square, term, cosine = v * v, 1.0, 1.0
    for k in range(1, 12):
        term *= -square / ((2 * k - 1) * (2 * k))
        cosine += term
    return cosine * cosine
