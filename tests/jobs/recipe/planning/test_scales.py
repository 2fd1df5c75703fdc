"""Series of very different levels: the choice of a scale for each, and forecasts in units of each."""

import json

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.jobs.recipe.planning.plan import make_plan, plan_again, read_plan
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.recipe.run import ForecastRun
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.forecasting.accuracy.backtest import Backtest, Options
from cellar.nn.forecasting.accuracy.series import series_of
from cellar.nn.model.network import Network
from cellar.nn.readings.columns import NumberColumn, SeriesColumn
from cellar.nn.training.checkpoints.progress import Evaluation
from cellar.nn.training.trainer import fit
from cellar.table import Column, Table
from tests.jobs.recipe.tables import hourly

DATA = ForecastData.model_validate({"dataset": "readings", "targets": ["temp"], "horizon": 6})


def of_levels(*levels: float) -> Table:
    """Return hourly readings whose mean is about each level, with deviations of a fifth of it."""
    made = hourly(25, series=len(levels))
    for index, level in enumerate(levels):
        rows = slice(*made.bounds[index : index + 2])
        made.values["temp"][rows] *= np.float32(level / 15)
    columns = (*made.columns, Column("place", "category", "series"))
    return Table(columns, made.series_ids, made.bounds, made.times, made.values)


def trained(readings: Table, cache: KernelCache) -> tuple[ForecastRun, BoundNetwork, Evaluation]:
    """Return a run on readings, the network that it publishes, and its evaluation."""
    plan = make_plan(readings, DATA, {"epochs": 40})
    plan = read_plan(json.loads(json.dumps(plan.document())), plan.training)
    run = ForecastRun(plan, readings, lambda spec: CompiledNetwork(Network(spec), cache))
    *_, last = fit(run.trained, run.weights(None, seed=1), run.data, run.plan.trained_spec)
    spec, weights = run.published(last.weights())
    return (
        run,
        CompiledNetwork(Network(spec), cache).bind(weights, inference=True),
        run.evaluate(last.weights(), last.weights()),
    )


def test_series_of_levels_1_and_10000_are_forecast_in_their_units(cache: KernelCache) -> None:
    """Better than every naive forecast for each, and a share of 80% of the readings is within the interval of 80%."""
    readings = of_levels(1, 10_000)
    run, bound, found = trained(readings, cache)
    assert run.plan.forecast.session_scale
    options = Options(6, 1, (0.1, 0.5, 0.9), None, 1, None, 24, lambda each: 1 + round(0.8 * len(each.actual)))
    test = Backtest(bound, series_of(bound.network, readings, None, None), options)
    while test.advance():
        pass
    result = test.result().targets["temp"]
    for name, level in (("a", 1), ("b", 10_000)):
        scores = result.by_series[name]
        assert scores["mae"] < 0.1 * level
        assert 0.72 < scores["coverage_80"] < 0.88
        assert scores["mase"] < 0.8
    assert found.by_target is not None
    assert found.by_target["temp"]["model"] == pytest.approx(result.overall["mae"], rel=1e-4)
    assert plan_again(readings, DATA, {"epochs": 1}, bound.network.spec).forecast.session_scale


def test_the_choice_says_why() -> None:
    plan = make_plan(of_levels(1, 20, 10_000), DATA, {})
    (choice,) = (each for each in plan.choices if each.field == "scaling")
    assert choice.value == "per_series"
    assert "levels of 0.8691" in choice.why
    number, series = plan.readings.columns
    assert isinstance(number, NumberColumn)
    assert isinstance(series, SeriesColumn)
    assert (number.per_series, number.session_scale, series.ids) == (True, True, ("a", "b", "c"))
    assert number.fitted is not None
    assert number.fitted.series_shift == pytest.approx((1, 20, 10_000), rel=0.3)


def test_too_many_series_are_scaled_by_their_own_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellar.jobs.recipe.planning.scales.MAX_SERIES", 2)
    plan = make_plan(of_levels(1, 20, 10_000), DATA, {})
    (choice,) = (each for each in plan.choices if each.field == "scaling")
    assert choice.value == "causal"
    assert [column.kind for column in plan.readings.columns] == ["number"]


def test_series_of_one_level_share_a_scale() -> None:
    plan = make_plan(of_levels(10, 15, 20), DATA, {})
    assert not plan.forecast.session_scale
    assert next(each.value for each in plan.choices if each.field == "scaling") == "robust"
