"""Naive forecasts, which a model must beat: the last value, the value a period ago, the mean of the training part.

`values` are (T, ...) of one series in order of time, NaN for missing ones. A forecast from the origin o reads the
values 0 to o only; step k of `horizon` is the value at o + 1 + k. Forecasts are (origins, horizon, ...), NaN where no
value was there to repeat.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating]
Doubles = NDArray[np.float64]
Origins = Sequence[int] | NDArray[np.int64]

LONGEST_PERIOD = 10_000
"""The longest period that is looked for, in steps."""

LEAST_CORRELATION = 0.3
"""A period counts if the autocorrelation there is at least this."""

LEAST_RISE = 0.1
"""A period counts if the autocorrelation has risen by this since its lowest value before: noise rises less."""

NEAR = 0.8
"""The first peak of at least this share of the highest one is taken, because multiples of a period have peaks too."""

CYCLES = 2
"""A series must hold this many of its periods."""


def last_value(values: Numbers, origins: Origins, horizon: int) -> Doubles:
    """Return the forecast that repeats the last value that was there."""
    found = carried_forward(values)[np.asarray(origins, np.int64)]
    return np.repeat(found[:, None], horizon, axis=1)


def seasonal_value(values: Numbers, origins: Origins, horizon: int, period: int) -> Doubles:
    """Return the forecast that repeats the values of the last period, or of an earlier one where they are missing."""
    if period < 1:
        raise ValueError(f"a period has at least one step, not {period}")
    series = np.asarray(values, np.float64)
    filled = series.copy()
    for begin in range(period, len(series), period):
        now, before = filled[begin : begin + period], filled[begin - period : begin]
        before = before[: len(now)]
        np.copyto(now, before, where=np.isnan(now))
    ahead = np.arange(horizon) % period + 1 - period
    at = np.asarray(origins, np.int64)[:, None] + ahead
    found: Doubles = filled[np.maximum(at, 0)]
    found[at < 0] = np.nan
    return found


def mean_value(values: Numbers, origins: Origins, horizon: int, trained: int) -> Doubles:
    """Return the forecast that is the mean of the first `trained` values, the training part, everywhere."""
    part = np.asarray(values[:trained], np.float64)
    present = ~np.isnan(part)
    count = present.sum(axis=0)
    total = np.where(present, part, 0).sum(axis=0)
    average = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.broadcast_to(average, (len(origins), horizon, *average.shape)).copy()


def carried_forward(values: Numbers) -> Doubles:
    """Return values (T, ...) in which a missing one is the last before it that is there; NaN before the first."""
    series = np.asarray(values, np.float64)
    steps = np.arange(len(series)).reshape(-1, *[1] * (series.ndim - 1))
    latest = np.maximum.accumulate(np.where(np.isnan(series), -1, steps), axis=0)
    found: Doubles = np.take_along_axis(series, np.maximum(latest, 0), axis=0)
    found[latest < 0] = np.nan
    return found


def find_period(values: Numbers, longest: int = LONGEST_PERIOD) -> int | None:
    """Return the period of a series (T,) in steps, from the peaks of its autocorrelation; None without one.

    A linear trend is removed, and missing values are left out.
    """
    series = np.asarray(values, np.float64)
    present = ~np.isnan(series)
    longest = min(longest, len(series) // CYCLES)
    if longest < 2 or present.sum() < 3:
        return None
    correlation = _autocorrelation(_without_trend(series, present), present, longest)
    inner = correlation[1:-1]
    rise = inner - np.minimum.accumulate(correlation)[1:-1]
    is_peak = (inner > correlation[:-2]) & (inner >= correlation[2:])
    peaks = np.flatnonzero(is_peak & (inner >= LEAST_CORRELATION) & (rise >= LEAST_RISE)) + 1
    if not peaks.size:
        return None
    first = int(peaks[np.argmax(correlation[peaks] >= NEAR * correlation[peaks].max())])
    # With noise the highest value of a broad peak is a few lags later.
    return first + int(np.argmax(correlation[first : first + first // 4 + 1]))


def _without_trend(series: Doubles, present: NDArray[np.bool_]) -> Doubles:
    """Return the series minus its least-squares line, 0 where a value is missing."""
    steps = np.arange(len(series), dtype=np.float64)
    at, found = steps[present], series[present]
    centred = at - at.mean()
    slope = (centred * (found - found.mean())).sum() / (centred**2).sum()
    return np.where(present, series - found.mean() - slope * (steps - at.mean()), 0.0)


def _autocorrelation(series: Doubles, present: NDArray[np.bool_], longest: int) -> Doubles:
    """Return the autocorrelation at the lags 0 to longest + 1, over the pairs of which both values are there."""
    lags = min(longest + 2, len(series))
    pairs = np.maximum(_products(present.astype(np.float64), lags), 0.5)
    products = _products(series, lags) / pairs
    constant = products[0] <= 1e-12 * max(1.0, float(np.abs(series).max()) ** 2)
    return products * 0 if constant else products / products[0]


def _products(series: Doubles, lags: int) -> Doubles:
    """Return the sums of the products of a series and itself, shifted by 0 to lags - 1 steps."""
    size = 1 << (2 * len(series) - 1).bit_length()  # zeros after the series, so that its end does not meet its begin
    found: Doubles = np.fft.irfft(np.abs(np.fft.rfft(series, size)) ** 2, size)[:lags]
    return found
