"""The shipped series, and that nothing of its held-out part is learnt from."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest

from cellar.demo.series import Series, load, rmse


@pytest.fixture(scope="module")
def series() -> Series:
    return load()


def test_it_is_weekly_over_decades(series: Series) -> None:
    assert len(series.weeks) == len(series.values) == 2284
    assert (series.weeks[0], series.weeks[-1]) == (date(1958, 3, 29), date(2001, 12, 29))
    assert {later - earlier for earlier, later in pairwise(series.weeks)} == {timedelta(weeks=1)}


def test_gaps_lie_before_the_held_out_part_and_are_on_a_straight_line(series: Series) -> None:
    gaps = np.flatnonzero(~series.measured)
    assert len(gaps) == 59
    assert gaps[-1] < series.first_held_out
    may_10 = series.weeks.index(date(1958, 5, 10))
    assert series.values[may_10] == (series.values[may_10 - 1] + series.values[may_10 + 1]) / 2


def test_what_is_learnt_does_not_depend_on_the_held_out_part(series: Series) -> None:
    values = series.values.copy()
    values[series.first_held_out :] = 1000
    other = replace(series, values=values)
    assert other.scale == series.scale
    assert other.training() == series.training()


def test_a_forecast_is_made_from_what_is_known_before_its_week(series: Series) -> None:
    index = 100
    values = series.values.copy()
    values[series.first_held_out + index :] = 1000
    other = replace(series, values=values)
    assert other.stream()[: index + 1] == series.stream()[: index + 1]
    assert other.persistence()[index] == series.persistence()[index]


def test_the_stream_follows_the_training_inputs(series: Series) -> None:
    inputs, targets = series.training()
    assert len(inputs) == len(targets) == series.first_held_out - 2
    assert len(series.stream()) == series.held_out
    assert [change for (change,) in inputs] + series.stream() == series.changes[:-1].tolist()


def test_true_changes_make_perfect_forecasts(series: Series) -> None:
    true = series.changes[series.first_held_out - 1 :].tolist()
    assert rmse(series.forecasts(true), series.truth()) < 1e-9
    assert rmse(series.forecasts([0.0] * series.held_out), series.truth()) == rmse(series.persistence(), series.truth())
