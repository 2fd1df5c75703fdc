"""Finds the period of a series: by its autocorrelation, or a day, week or year of its times."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cellar.nn.forecasting.accuracy.baselines import find_period

Doubles = NDArray[np.float64]

CALENDAR_S = {"an hour": 3600.0, "a day": 86400.0, "a week": 604800.0, "a year": 31557600.0}
"""Periods of many readings, in seconds."""

LONGEST = 10_000
"""The longest period in steps."""

CYCLES = 3
"""A series holds a period of the calendar at least as often."""

NEAR = 0.05
"""A peak of the autocorrelation within this share of a period of the calendar means that period."""

MOST_STEPS = 20_000
"""Only the newest steps of a long series are looked at."""


def period_of(values: Doubles, horizon: int, interval_s: float | None) -> tuple[int | None, str]:
    """Return the period of a series (T,) in steps, None without one, and a sentence that says why.

    Of the period of the autocorrelation and those of the calendar it is the one whose seasonal forecast has the
    smallest median error, if that is below the error of repeating the last value, or the autocorrelation has a peak.
    """
    series = np.asarray(values[-MOST_STEPS:], np.float64)
    found = find_period(series, LONGEST)
    candidates = dict(_calendar(len(series), interval_s))
    if found is not None and not any(abs(found - each) <= NEAR * each for each in candidates):
        candidates[found] = "its autocorrelation has a peak there"
    errors = {period: _error(series, period, horizon) for period in candidates}
    errors = {period: error for period, error in errors.items() if not np.isnan(error)}
    if not errors:
        return None, "The target has no period that repeats in the data."
    best = min(errors, key=lambda period: errors[period])
    if found is None and errors[best] >= _last_value_error(series, horizon):
        return None, "The target has no period: repeating the value of a day, week or year ago is no better."
    return best, f"The target repeats after {best} steps: {candidates[best]}."


def _calendar(steps: int, interval_s: float | None) -> Iterator[tuple[int, str]]:
    if interval_s is None or interval_s <= 0:
        return
    for name, seconds in CALENDAR_S.items():
        period = round(seconds / interval_s)
        if 2 <= period <= min(LONGEST, steps // CYCLES):
            yield period, f"that is {name}"


def _error(series: Doubles, period: int, horizon: int) -> float:
    """Return the median absolute error of repeating the last period, over all steps of the horizon."""
    back = [period * -(-step // period) for step in _steps(horizon)]
    return _median([np.abs(series[steps:] - series[:-steps]) for steps in back if steps < len(series)])


def _last_value_error(series: Doubles, horizon: int) -> float:
    return _median([np.abs(series[step:] - series[:-step]) for step in _steps(horizon) if step < len(series)])


def _steps(horizon: int) -> list[int]:
    return [*map(int, np.unique(np.linspace(1, horizon, num=min(horizon, 24), dtype=np.int64)))]


def _median(errors: list[Doubles]) -> float:
    """Return the median of all errors that are not missing, NaN without one: outliers do not decide."""
    joined = np.concatenate(errors) if errors else np.zeros(0)
    present = joined[~np.isnan(joined)]
    return float(np.median(present)) if present.size else float("nan")
