"""Naive forecasts equal loops over their definitions, and read nothing after their origin."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.nn.forecasting.accuracy import baselines

SERIES = np.array([np.nan, 1.0, 2.0, np.nan, 4.0, 5.0, 6.0, np.nan, 8.0, 9.0])
ORIGINS = (0, 3, 6, 9)
HORIZON = 5


def _seasonal(origin: int, step: int, period: int) -> float:
    at = origin + 1 + step
    while at > origin or (at >= 0 and math.isnan(SERIES[at])):
        at -= period
    return float(SERIES[at]) if at >= 0 else math.nan


def test_the_last_value_is_that_before_the_gap() -> None:
    """A missing value at the origin is the one before it; before the first value there is no forecast."""
    found = baselines.last_value(SERIES, ORIGINS, HORIZON)
    expected = [[value] * HORIZON for value in (math.nan, 2.0, 6.0, 9.0)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("period", [1, 2, 3, 7])
def test_the_seasonal_value_is_that_of_the_last_period_that_has_one(period: int) -> None:
    """Each step equals a walk back by whole periods, also beyond one period and before the begin."""
    found = baselines.seasonal_value(SERIES, ORIGINS, HORIZON, period)
    expected = [[_seasonal(origin, step, period) for step in range(HORIZON)] for origin in ORIGINS]
    np.testing.assert_array_equal(found, expected)


def test_the_mean_is_that_of_the_training_part() -> None:
    """Values after the training part and missing ones do not count; columns have means of their own."""
    found = baselines.mean_value(np.stack([SERIES, 2 * SERIES, np.full(10, np.nan)], axis=1), ORIGINS, 2, 5)
    np.testing.assert_allclose(found, np.broadcast_to([7 / 3, 14 / 3, np.nan], (4, 2, 3)))


def test_no_forecast_reads_what_comes_after_its_origin() -> None:
    """Forecasts from step 6 are the same if later values are different."""
    other = SERIES.copy()
    other[7:] = 100
    for values in (SERIES, other):
        np.testing.assert_array_equal(baselines.last_value(values, [6], 3), [[6, 6, 6]])
        np.testing.assert_array_equal(baselines.seasonal_value(values, [6], 3, 3), [[5 - 1, 5, 6]])


def _wave(period: int, steps: int = 480) -> NDArray[np.float64]:
    noise = np.random.default_rng(3).normal(0, 0.3, steps)
    return np.sin(2 * np.pi * np.arange(steps) / period) + noise + 0.01 * np.arange(steps)


@pytest.mark.parametrize("period", [7, 24, 52, 168])
def test_the_period_of_a_noisy_wave_with_a_trend_is_found(period: int) -> None:
    """The period is exact for short waves and within 3% for long ones, with a tenth of the values missing as well."""
    wave = _wave(period)
    wave[np.random.default_rng(4).random(len(wave)) < 0.1] = np.nan
    found = baselines.find_period(wave)
    assert found is not None
    assert abs(found - period) <= 0.03 * period


def test_a_series_without_a_period_has_none() -> None:
    """Noise, a line, a constant, a few values and none at all have no period."""
    noise = np.random.default_rng(8).normal(0, 1, 500)
    nothing = np.full(50, np.nan)
    for series in (noise, np.arange(100.0), np.ones(100), np.array([1.0, 2.0, 1.0]), nothing, np.zeros(0)):
        assert baselines.find_period(series) is None
