"""Backtests equal plain loops over origins, and read nothing of a row before its turn."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.forecasting.accuracy import metrics
from cellar.nn.forecasting.accuracy.backtest import Backtest, Options, work_of
from cellar.nn.forecasting.accuracy.comparison import Result, Series
from cellar.nn.forecasting.accuracy.totals import intervals
from tests.nn.golden.cases import network
from tests.nn.oracle import make_network

RANDOM = np.random.default_rng(2)
HALF = {"type": "recurrent", "cell": {"equations": "h = 0.5 * h + x"}, "hidden_size": 1}
SPREAD = {"levels": [0.1, 0.9], "values": [-1, 1]}


@pytest.fixture(scope="module")
def bound(cache: KernelCache) -> BoundNetwork:
    """Return a network whose output is h = 0.5 h + x, which forecasts the next value with an interval."""
    forecast = {"type": "forecast", "targets": [{"name": "y"}], "residuals": SPREAD}
    built = make_network(network(1, HALF, forecast))
    return CompiledNetwork(built, cache).bind(built.init(0), inference=True)


def series(values: NDArray[np.float64], name: str = "a") -> Series:
    """Return a series whose target is its input."""
    inputs = np.nan_to_num(values).astype(np.float32)[:, None]
    return Series(name, lambda rows: inputs[rows], np.zeros(1, np.bool_), values[:, None], None)


def options(**fields: Any) -> Options:
    """Return options of a backtest that begins in the middle."""
    return Options(
        **{
            "horizon": 1,
            "stride": 1,
            "levels": None,
            "paths": None,
            "seed": 0,
            "feedback": None,
            "period": 2,
            "start": lambda one: len(one.actual) // 2,
            **fields,
        }
    )


def run(bound: BoundNetwork, given: list[Series], **fields: Any) -> Result:
    """Return the result of a backtest."""
    backtest = Backtest(bound, given, options(**fields))
    while backtest.advance():
        pass
    return backtest.result()


def forecasts(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the forecast of the value after each row."""
    h, found = 0.0, []
    for value in np.nan_to_num(values):
        h = 0.5 * h + value
        found.append(h)
    return np.array(found)


def test_metrics_are_those_of_a_loop_by_series_and_in_all(bound: BoundNetwork) -> None:
    """With a series of 1,000 rows, which is run in parts, and a missing value."""
    long, short = RANDOM.normal(0, 1, 1000), RANDOM.normal(5, 1, 21)
    long[700] = np.nan
    found = run(bound, [series(long), series(short, "b")])
    actual = [long[500:], short[10:]]
    point = [forecasts(long)[499:-1], forecasts(short)[9:-1]]
    target = found.targets["y"]
    for name, each, ours in (("a", actual[0], point[0]), ("b", actual[1], point[1])):
        assert target.by_series[name]["mae"] == pytest.approx(metrics.mae(each, ours), rel=1e-5)
    joined, ours = np.concatenate(actual), np.concatenate(point)
    assert target.overall["rmse"] == pytest.approx(metrics.rmse(joined, ours), rel=1e-5)
    assert target.overall["coverage_80"] == pytest.approx(np.nanmean(abs(joined - ours)[~np.isnan(joined)] <= 1))
    units = [metrics.naive_error(long[:500]), metrics.naive_error(short[:10])]
    mase = np.mean([metrics.mae(a, p) / unit for a, p, unit in zip(actual, point, units, strict=True)])
    assert target.overall["mase"] == pytest.approx(mase, rel=1e-5)
    assert (found.origins, found.values) == (511, 510)
    before = [np.where(np.isnan(long), np.roll(long, 1), long)[499:-1], short[9:-1]]
    assert target.baselines["last_value"]["mae"] == pytest.approx(metrics.mae(joined, np.concatenate(before)))
    assert target.baselines["mean"]["mae"] > 0
    assert target.baselines["seasonal"]["mae"] > 0
    assert found.plots[0].rows[:2] == [500, 501]
    assert found.plots[0].interval == pytest.approx(0.8)


def test_later_steps_are_rolled_forward_from_each_origin(bound: BoundNetwork) -> None:
    """The first step is the forecast itself; the median of the second is near half of the first and what was drawn."""
    values = RANDOM.normal(0, 1, 31)
    found = run(bound, [series(values)], horizon=3, stride=4, paths=2000, levels=(0.5,))
    origins = range(14, 30, 4)
    assert found.origins == len(origins)
    h = forecasts(values)
    first = [values[origin + 1] - h[origin] for origin in origins]
    assert found.targets["y"].by_step["mae"][0] == pytest.approx(np.mean(np.abs(first)), abs=0.05)


def test_what_comes_later_changes_no_forecast(bound: BoundNetwork) -> None:
    values = RANDOM.normal(0, 1, 40)
    other = values.copy()
    other[30:] += 100
    plots = [run(bound, [series(each)], horizon=5, stride=5, paths=20).plots[0] for each in (values, other)]
    assert plots[0].point[:10] == plots[1].point[:10]
    assert plots[0].point[10:15] == plots[1].point[10:15]
    assert plots[0].point[15:] != plots[1].point[15:]


def test_a_series_without_rows_to_forecast_is_left_out_and_none_is_an_error(bound: BoundNetwork) -> None:
    one = series(np.array([1.0]), "one")
    found = run(bound, [one, series(RANDOM.normal(0, 1, 10))])
    assert [*found.targets["y"].by_series] == ["a"]
    with pytest.raises(InvalidInput, match="no series has a row to forecast"):
        run(bound, [one])


def test_the_work_is_known_before(bound: BoundNetwork) -> None:
    given = [series(np.zeros(100)), series(np.zeros(50), "b")]
    assert work_of(bound.network, given, options(stride=10))[0] == 150 + 5 + 3
    assert work_of(bound.network, given, options())[0] == 150 + 75
    assert work_of(bound.network, given, options(horizon=2, paths=10))[0] == 150 + 75 * 20


def test_intervals_are_pairs_of_quantiles() -> None:
    assert intervals((0.05, 0.1, 0.5, 0.9, 0.95)) == [(0, 4), (1, 3)]
    assert intervals((0.2, 0.5)) == []
