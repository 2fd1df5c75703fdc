"""Naive forecasts of rows that are read in parts, and errors that are added in blocks, are those of whole series."""

from collections.abc import Callable

import numpy as np
import pytest

from cellar.nn.forecasting.accuracy import baselines, metrics
from cellar.nn.forecasting.accuracy.comparison import Series
from cellar.nn.forecasting.accuracy.naive import Naive
from cellar.nn.forecasting.accuracy.totals import PointTotals, SpreadTotals, StepTotals

RANDOM = np.random.default_rng(3)
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def waves(rows: int) -> Numbers:
    """Return two targets, of which one has a period of 12, with gaps and a gap at the begin."""
    found = np.stack([np.sin(np.arange(rows) * np.pi / 6) * 5, RANDOM.normal(0, 1, rows)], axis=1)
    found[RANDOM.random((rows, 2)) < 0.1] = np.nan
    found[:3] = np.nan
    return found


def series(actual: Numbers) -> Series:
    return Series("a", lambda _: np.empty((0, 1), np.float32), np.zeros(1, np.bool_), actual, None)


@pytest.mark.parametrize("period", [None, 1, 7])
def test_naive_forecasts_are_those_of_the_whole_series(period: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellar.nn.forecasting.accuracy.naive.ROWS", 32)
    actual, trained, horizon = waves(300), 200, 30
    naive = Naive(series(actual), trained, period)
    units = [metrics.naive_error(column[:trained]) for column in actual.T]
    np.testing.assert_allclose(naive.units, units, rtol=1e-12)
    at = 0
    for origin in (0, 2, 5, 40, 199, 298):
        naive.read(actual[at : origin + 1])
        at = origin + 1
        found = naive.forecast(horizon)
        np.testing.assert_array_equal(found["last_value"], baselines.last_value(actual, [origin], horizon)[0])
        mean = baselines.mean_value(actual, [origin], horizon, trained)[0]
        np.testing.assert_allclose(found["mean"], mean, rtol=1e-12)
        for target, column in enumerate(actual.T):
            cycle = period or (12 if target == 0 else 1)
            expected = baselines.seasonal_value(column, [origin], horizon, cycle)[0]
            np.testing.assert_array_equal(found["seasonal"][:, target], expected)


def test_a_series_without_a_period_has_no_seasonal_forecast() -> None:
    naive = Naive(series(RANDOM.normal(0, 1, (100, 1))), 80, None)
    assert {*naive.forecast(2)} == {"last_value", "mean"}


def test_errors_that_are_added_in_blocks_are_those_of_all() -> None:
    levels, actual = (0.1, 0.5, 0.9), waves(90)[:, :1].reshape(30, 3)
    point = actual + RANDOM.normal(0, 1, actual.shape)
    spread = np.sort(point[..., None] + RANDOM.normal(0, 1, (*actual.shape, 3)), axis=-1)
    totals, other, quantiles, steps = PointTotals(), PointTotals(), SpreadTotals(levels), StepTotals(3)
    for into, rows in ((totals, slice(0, 11)), (totals, slice(11, 12)), (other, slice(12, 30))):
        into.add(actual[rows], point[rows])
        steps.add(actual[rows], point[rows])
    for rows in (slice(0, 20), slice(20, 30)):
        quantiles.add(actual[rows], spread[rows])
    totals.merge(other)
    assert totals.scores() == pytest.approx(metrics.plain_metrics(actual, point), rel=1e-12)
    expected = {
        "crps": metrics.crps_of_quantiles(actual, spread, levels),
        "coverage_80": metrics.coverage(actual, spread[..., 0], spread[..., 2]),
    }
    assert quantiles.scores() == pytest.approx(expected, rel=1e-12)
    by_step: dict[str, Callable[..., float]] = {"mae": metrics.mae, "rmse": metrics.rmse}
    for name, metric in by_step.items():
        each = [metric(actual[:, step], point[:, step]) for step in range(3)]
        assert steps.scores()[name] == pytest.approx(each, rel=1e-12)
