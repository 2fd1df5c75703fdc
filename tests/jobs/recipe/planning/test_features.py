"""What the network reads of a column."""

import numpy as np

from cellar.jobs.recipe.planning.features import LONGEST_PERIOD, differences_of, returns


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
