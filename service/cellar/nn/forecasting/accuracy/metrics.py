"""Metrics of forecasts on float arrays, in which NaN is a missing value: places without a value are left out.

`actual` and `forecast` have the same shape, and every function returns one float64, NaN if nothing can be compared.
Hyndman and Koehler 2006 (mape, smape, mase), Gneiting and Raftery 2007 (crps, pinball).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating]
Doubles = NDArray[np.float64]
Metric = Callable[[Numbers, Numbers], float]


def mean(values: Numbers) -> float:
    """Return the mean of all values that are not missing."""
    present = np.asarray(values, np.float64).ravel()
    present = present[~np.isnan(present)]
    return float(present.mean()) if present.size else float("nan")


def mae(actual: Numbers, forecast: Numbers) -> float:
    """Return the mean absolute error, in units of the values."""
    return mean(_absolute(actual, forecast))


def rmse(actual: Numbers, forecast: Numbers) -> float:
    """Return the root of the mean squared error, in units of the values."""
    return float(np.sqrt(mean(_absolute(actual, forecast) ** 2)))


def mape(actual: Numbers, forecast: Numbers) -> float:
    """Return the mean of |y - f| / |y|, as a fraction; values of 0 are left out."""
    return mean(errors(actual, forecast)["relative"])


def smape(actual: Numbers, forecast: Numbers) -> float:
    """Return the mean of 2 |y - f| / (|y| + |f|), from 0 to 2; where both are 0 the error is 0."""
    return mean(errors(actual, forecast)["symmetric"])


def errors(actual: Numbers, forecast: Numbers) -> dict[str, Doubles]:
    """Return the absolute, squared, relative and symmetric relative error of each value."""
    error, size = _absolute(actual, forecast), np.abs(np.asarray(actual, np.float64))
    both = size + np.abs(np.asarray(forecast, np.float64))
    symmetric = np.where(error == 0, 0.0, _quotient(2 * error, both))
    return {"absolute": error, "squared": error**2, "relative": _quotient(error, size), "symmetric": symmetric}


def naive_error(history: Numbers, period: int = 1) -> float:
    """Return the mean absolute error of the seasonal naive forecast in a history (T, ...): the unit of `mase`."""
    values = np.asarray(history, np.float64)
    return mean(np.abs(values[period:] - values[:-period]))


def mase(actual: Numbers, forecast: Numbers, unit: float) -> float:
    """Return the mean absolute error in units of `naive_error` of the training part; NaN if that is 0."""
    return mae(actual, forecast) / unit if unit > 0 else float("nan")


def pinball(actual: Numbers, forecast: Numbers, level: float) -> float:
    """Return the mean quantile loss: max(q (y - f), (q - 1) (y - f)) for the level q."""
    return mean(pinball_losses(actual, forecast, level))


def pinball_losses(actual: Numbers, forecast: Numbers, level: float) -> Doubles:
    """Return the quantile loss of each value."""
    error = np.asarray(actual, np.float64) - forecast
    found: Doubles = np.maximum(level * error, (level - 1) * error)
    return found


def coverage(actual: Numbers, low: Numbers, high: Numbers) -> float:
    """Return the share of values within an interval, ends included."""
    return mean(within(actual, low, high))


def within(actual: Numbers, low: Numbers, high: Numbers) -> Doubles:
    """Return for each value 1 if it is within an interval, 0 if it is not, NaN if something is missing."""
    values = np.asarray(actual, np.float64)
    missing = np.isnan(values) | np.isnan(low) | np.isnan(high)
    return np.where(missing, np.nan, (values >= low) & (values <= high))


def crps_of_quantiles(actual: Numbers, quantiles: Numbers, levels: Sequence[float]) -> float:
    """Return twice the mean pinball loss of quantiles (..., levels).

    This is the continuous ranked probability score for equally spaced levels in the limit of many.
    """
    values = np.asarray(quantiles)
    return 2 * mean(np.array([pinball(actual, values[..., index], level) for index, level in enumerate(levels)]))


def crps_of_samples(actual: Numbers, samples: Numbers) -> float:
    """Return the continuous ranked probability score of samples (..., n): mean |s - y| - mean |s - s'| / 2."""
    drawn = np.sort(np.asarray(samples, np.float64), axis=-1)
    count = drawn.shape[-1]
    distance = np.abs(drawn - np.asarray(actual, np.float64)[..., None]).mean(axis=-1)
    # The sum of |s - s'| over all pairs of sorted samples counts the sample i (2 i + 1 - n) times, twice.
    weights = 2 * np.arange(count) + 1 - count
    spread = 2 * (drawn * weights).sum(axis=-1) / count**2
    return mean(distance - spread / 2)


PLAIN: Mapping[str, Metric] = {"mae": mae, "rmse": rmse, "mape": mape, "smape": smape}
"""The metrics that need nothing besides values and forecasts."""


def plain_metrics(actual: Numbers, forecast: Numbers, unit: float | None = None) -> dict[str, float]:
    """Return all metrics of a point forecast by name, with `mase` if its unit is given."""
    found = {name: metric(actual, forecast) for name, metric in PLAIN.items()}
    return found if unit is None else found | {"mase": mase(actual, forecast, unit)}


def parts(bounds: Sequence[int] | NDArray[np.int64]) -> Iterator[slice]:
    """Yield the rows of each series: series i has the rows bounds[i] to bounds[i + 1]."""
    for begin, end in pairwise(bounds):
        yield slice(int(begin), int(end))


def by_series(
    metric: Metric, actual: Numbers, forecast: Numbers, bounds: Sequence[int] | NDArray[np.int64]
) -> list[float]:
    """Return a metric of each series of rows (rows, ...)."""
    return [metric(actual[rows], forecast[rows]) for rows in parts(bounds)]


def _absolute(actual: Numbers, forecast: Numbers) -> Doubles:
    found: Doubles = np.abs(np.asarray(actual, np.float64) - np.asarray(forecast, np.float64))
    return found


def _quotient(value: Doubles, by: Doubles) -> Doubles:
    """Return value / by, NaN where `by` is 0."""
    found: Doubles = np.divide(value, by, out=np.full(np.broadcast(value, by).shape, np.nan), where=by != 0)
    return found
