"""Metrics of forecasts equal their plain definitions, and leave out missing values."""

import itertools
import math

import numpy as np
import pytest

from cellar.nn.forecasting.accuracy import metrics

RANDOM = np.random.default_rng(5)
ACTUAL = RANDOM.normal(10, 3, (4, 6))
FORECAST = ACTUAL + RANDOM.normal(0, 1, (4, 6))
ACTUAL[1, 2] = ACTUAL[3, 5] = np.nan
PAIRS = [(y, f) for y, f in zip(ACTUAL.flat, FORECAST.flat, strict=True) if not math.isnan(y)]


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def test_errors_are_their_definitions_over_values_that_are_there() -> None:
    """Each metric of a point forecast is computed again as a sum over pairs."""
    expected = {
        "mae": _mean([abs(y - f) for y, f in PAIRS]),
        "rmse": math.sqrt(_mean([(y - f) ** 2 for y, f in PAIRS])),
        "mape": _mean([abs(y - f) / abs(y) for y, f in PAIRS]),
        "smape": _mean([2 * abs(y - f) / (abs(y) + abs(f)) for y, f in PAIRS]),
        "mase": _mean([abs(y - f) for y, f in PAIRS]) / 2.5,
    }
    assert metrics.plain_metrics(ACTUAL, FORECAST, 2.5) == pytest.approx(expected, rel=1e-12)
    assert "mase" not in metrics.plain_metrics(ACTUAL, FORECAST)


def test_zeros_and_missing_values() -> None:
    """A relative error of 0 is not divided by, and no value at all gives NaN instead of a warning."""
    zeros, empty = np.zeros(3), np.full(3, np.nan)
    assert math.isnan(metrics.mape(zeros, zeros + 1))
    assert metrics.smape(zeros, zeros) == 0
    assert metrics.smape(zeros, zeros + 1) == 2
    assert all(math.isnan(value) for value in metrics.plain_metrics(empty, zeros, 1.0).values())
    assert math.isnan(metrics.mase(zeros, zeros, 0.0))
    assert math.isnan(metrics.coverage(empty, zeros, zeros))


def test_the_unit_of_mase_is_the_error_of_the_seasonal_naive_forecast() -> None:
    """A series that repeats itself has the unit 0 at its period, and a missing value leaves out two pairs."""
    series = np.array([1.0, 3.0, 1.0, 3.0, np.nan, 3.0, 1.0])
    assert metrics.naive_error(series, 2) == 0
    assert metrics.naive_error(series) == 2
    assert math.isnan(metrics.naive_error(series, 7))


def test_quantile_losses_and_coverage_are_their_definitions() -> None:
    """The pinball loss, its mean over levels, and the share of values within an interval."""
    levels, quantiles = (0.1, 0.5, 0.9), np.sort(RANDOM.normal(10, 3, (4, 6, 3)), axis=-1)

    def loss(level: int) -> float:
        q, found = levels[level], []
        for place in itertools.product(range(4), range(6)):
            error = ACTUAL[place] - quantiles[(*place, level)]
            found.append(q * error if error >= 0 else (q - 1) * error)
        return _mean([number for number in found if not math.isnan(number)])

    assert metrics.pinball(ACTUAL, quantiles[..., 0], 0.1) == pytest.approx(loss(0))
    score = metrics.crps_of_quantiles(ACTUAL, quantiles, levels)
    assert score == pytest.approx(2 * _mean([loss(level) for level in range(3)]))
    inside = [
        quantiles[(*p, 0)] <= ACTUAL[p] <= quantiles[(*p, 2)]
        for p in itertools.product(range(4), range(6))
        if not math.isnan(ACTUAL[p])
    ]
    assert metrics.coverage(ACTUAL, quantiles[..., 0], quantiles[..., 2]) == pytest.approx(_mean(inside))


def test_the_ranked_score_of_samples_is_the_mean_over_all_pairs() -> None:
    """CRPS as E|X - y| - E|X - X'| / 2; a single sample has the absolute error, as a point forecast has."""
    samples = RANDOM.normal(10, 3, (4, 6, 7))
    found = []
    for place in itertools.product(range(4), range(6)):
        drawn, y = samples[place].tolist(), ACTUAL[place]
        spread = _mean([abs(a - b) for a in drawn for b in drawn])
        found.append(_mean([abs(s - y) for s in drawn]) - spread / 2)
    expected = _mean([number for number in found if not math.isnan(number)])
    assert metrics.crps_of_samples(ACTUAL, samples) == pytest.approx(expected)
    assert metrics.crps_of_samples(ACTUAL, FORECAST[..., None]) == pytest.approx(metrics.mae(ACTUAL, FORECAST))


def test_a_metric_is_computed_for_each_series() -> None:
    """Rows of a series are consecutive; an empty series has no value."""
    found = metrics.by_series(metrics.mae, ACTUAL, FORECAST, [0, 1, 1, 4])
    assert found[0] == metrics.mae(ACTUAL[:1], FORECAST[:1])
    assert math.isnan(found[1])
    assert found[2] == metrics.mae(ACTUAL[1:], FORECAST[1:])
