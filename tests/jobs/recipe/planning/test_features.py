"""What the network reads of a column."""

import numpy as np

from cellar.jobs.recipe.planning.features import LONGEST_PERIOD, differences_of, returns, seasonal_steps


def test_differences_reach_back_a_period_if_the_series_is_long_enough() -> None:
    assert differences_of(24, 2000) == (1, 2, 3, 6, 12, 23, 24)
    assert differences_of(24, 40) == (1, 2, 3, 6)
    assert differences_of(None, 2000) == (1, 2, 3, 6, 12)
    assert max(differences_of(8760, 100_000)) <= LONGEST_PERIOD
    assert differences_of(24, 2) == (1,)


def test_the_level_counts_if_a_series_returns_to_its_mean_within_the_horizon() -> None:
    random = np.random.default_rng(1)
    assert returns(random.normal(size=500), 3)
    assert not returns(np.cumsum(random.normal(size=500)), 3)
    assert not returns(np.full(500, 4.0), 3)
    assert not returns(np.full(5, np.nan), 3)


def test_forecasts_begin_with_the_period_before_if_a_target_repeats_and_has_a_trend() -> None:
    """Not if its level returns to a mean, it is too short, or the last value is as good."""
    steps = np.arange(200.0)
    wave = 5 * np.sin(2 * np.pi * steps / 12)
    assert seasonal_steps([wave + steps / 5], 12, 3) == (11, 10, 9)
    assert seasonal_steps([wave + steps / 5], 12, 12) == (11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
    assert seasonal_steps([wave], 12, 12) == (), "the level returns within the horizon"
    assert seasonal_steps([wave + steps / 5, wave + 8 * steps], 12, 3) == (), "of one the trend is larger"
    for values, period, horizon in ((wave, 12, 13), (wave[:30], 12, 3), (wave, None, 3), (np.full(200, np.nan), 12, 3)):
        assert seasonal_steps([values + steps[: len(values)] / 5], period, horizon) == ()
