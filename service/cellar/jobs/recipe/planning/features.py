"""Chooses what the network reads of each column: scaling, differences, and whether its level matters."""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

SHORT_STEPS = (1, 2, 3)
"""Differences to the steps just before."""

LONGEST_PERIOD = 400
"""The longest period, in steps, whose readings are kept in the state of a session."""

RETURNS = 0.7
"""A column returns to its mean if it changes within the horizon by at least this share of what independent readings
would. Then its level says something about its future."""

LEAST_STEPS_FOR_LAG = 4
"""A series is at least as many times longer than its longest difference."""


def differences_of(period: int | None, steps: int) -> tuple[int, ...]:
    """Return the steps back from which the network reads the change of a target with that period."""
    if period is None:
        wanted = [*SHORT_STEPS, 6, 12]
    else:
        wanted = [*SHORT_STEPS, max(4, period // 4), max(6, period // 2), period - 1, period]
    most = min(LONGEST_PERIOD, steps // LEAST_STEPS_FOR_LAG)
    return tuple(sorted({each for each in wanted if 1 <= each <= most})) or (1,)


def returns(values: Doubles, horizon: int) -> bool:
    """Return whether a series (T,) returns to its mean within the horizon.

    The largest median change within the horizon is compared with sqrt(2) times the median distance from the median,
    which is what independent readings change by.
    """
    spread = _spread(values)
    if spread == 0:
        return False
    ahead = np.unique(np.linspace(1, min(horizon, len(values) - 2), num=min(horizon, 12), dtype=np.int64))
    largest = max(_spread(values[k:] - values[:-k]) for k in ahead.tolist() if k >= 1)
    return largest / spread >= RETURNS * 2**0.5


def _spread(values: Doubles) -> float:
    present = values[~np.isnan(values)]
    return float(np.median(np.abs(present - np.median(present)))) if present.size else 0.0
