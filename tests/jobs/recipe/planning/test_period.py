"""Periods of series."""

import numpy as np
import pytest

from cellar.jobs.recipe.planning.period import period_of
from tests.jobs.recipe.tables import DAY, hourly


def test_a_day_of_hourly_readings_is_found_by_their_times() -> None:
    found, why = period_of(hourly(20).values["temp"].astype(np.float64), 24, 3600.0)
    assert found == DAY
    assert why == "The target repeats after 24 steps: that is a day."


def test_without_times_the_autocorrelation_decides() -> None:
    found, why = period_of(np.tile([1.0, 5.0, 2.0, 8.0, 3.0, 1.0, 0.0], 30), 3, None)
    assert found == 7
    assert "autocorrelation" in why


@pytest.mark.parametrize("interval_s", [None, 3600.0])
def test_a_random_walk_has_no_period(interval_s: float | None) -> None:
    walk = np.cumsum(np.random.default_rng(3).normal(size=400))
    assert period_of(walk, 5, interval_s)[0] is None


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros(1), np.full(50, np.nan), np.full(50, 3.0)])
def test_series_without_changes_have_no_period(values: np.ndarray) -> None:
    assert period_of(values, 4, None)[0] is None
