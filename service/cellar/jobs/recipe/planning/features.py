"""Chooses what the network reads of each column: scaling, differences, and whether its level matters."""

import math
from collections.abc import Sequence

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


def seasonal_steps(targets: Sequence[Doubles], period: int | None, horizon: int) -> tuple[int, ...]:
    """Return the steps back from the last reading to the value of a period before each step of the horizon.

    The value of a period before the last step may be the reading itself, for which there is no step. None if forecasts
    of the targets, each (T,), begin with the last reading: there is no period, or it is shorter than the horizon; the
    differences would make a large state; or, for some target, repeating the period is not better than repeating
    the last value, or the level returns to its mean, so that the network reads it and learns the period from that.
    """
    if period is None or not horizon <= period <= LONGEST_PERIOD:
        return ()
    steps = tuple(period - ahead for ahead in range(1, horizon + 1) if period > ahead)
    if not steps or len(steps) > MOST_SEASONAL or sum(steps) > MOST_KEPT:
        return ()
    return steps if all(_repeats(values, period, horizon) for values in targets) else ()


def _repeats(values: Doubles, period: int, horizon: int) -> bool:
    if len(values) < CYCLES * period + horizon or returns(values, horizon):
        return False
    ahead = np.unique(np.linspace(1, horizon, num=min(horizon, 12), dtype=np.int64)).tolist()
    last = sum(_change(values, each) for each in ahead) / len(ahead)
    return _change(values, period) < SEASONAL * last


CYCLES = 3
"""The training part holds a period at least as often, before forecasts begin with its values."""


MOST_SEASONAL = 24
"""The most differences that are read for the values of a period before."""

MOST_KEPT = 1024
"""The most numbers of a session's state that they keep."""

SEASONAL = 0.95
"""Forecasts begin with the value of a period before if its error is at most this share of that of the last value."""


def _change(values: Doubles, steps: int) -> float:
    """Return the mean absolute change within that many steps, infinite without one."""
    change = np.abs(values[steps:] - values[:-steps])
    present = change[~np.isnan(change)]
    return float(np.cumsum(present)[-1] / len(present)) if present.size else math.inf


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
