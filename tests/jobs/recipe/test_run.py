"""Runs of plans on tables: training, measurement and the published network."""

import dataclasses
import json

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.jobs.recipe.planning.plan import make_plan, plan_again, read_plan
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.recipe.run import LEVELS, ForecastRun, Weights
from cellar.jobs.recipe.series import ahead
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.forecasting.future import times_ahead
from cellar.nn.forecasting.heads import quantiles
from cellar.nn.forecasting.widths import factors_of
from cellar.nn.model.network import Network
from cellar.nn.readings.table import rows_of
from cellar.nn.training.trainer import fit
from cellar.table import Table
from tests.jobs.recipe.tables import hourly, table

DATA = ForecastData.model_validate({"dataset": "readings", "targets": ["temp"], "horizon": 6})


def prepared(readings: Table, cache: KernelCache, **sent: object) -> tuple[ForecastRun, Weights]:
    """Return a run, from the document that a job stores, and the weights at its begin."""
    plan = make_plan(readings, DATA, sent)
    stored = read_plan(json.loads(json.dumps(plan.document())), plan.training)
    run = ForecastRun(stored, readings, lambda spec: CompiledNetwork(Network(spec), cache))
    return run, run.weights(None, seed=1)


def trained(run: ForecastRun, weights: Weights) -> Weights:
    """Return the weights at the end of the training."""
    *_, last = fit(run.trained, weights, run.data, run.plan.trained_spec)
    return last.weights()


@pytest.mark.parametrize("series", [1, 3])
def test_the_recipe_is_better_than_the_naive_forecasts(cache: KernelCache, series: int) -> None:
    run, weights = prepared(hourly(40, series=series), cache)
    found = run.evaluate(weights, trained(run, weights))
    assert found.period == 24
    assert found.better_by is not None
    assert min(found.better_by.values()) > 0.1
    assert not found.beaten


def test_the_published_network_reads_and_answers_raw_units(cache: KernelCache) -> None:
    """Its outputs on all rows of the table have the errors that were measured on the held-out part."""
    readings = hourly(30)
    run, weights = prepared(readings, cache, epochs=5)
    result = trained(run, weights)
    spec, full = run.published(result)
    network = CompiledNetwork(Network(spec), cache)
    bound = network.bind(full, inference=True)
    rows = rows_of(run.plan.readings.layout, readings, slice(0, readings.rows))
    outputs = bound.run(rows[:, None], bound.initial_state(1)).outputs[:, 0]
    first, last = run.series[0].trained, readings.rows - 1
    actual = ahead(readings.values["temp"].astype(np.float64)[:, None], first, last, 6)[:, :, 0]
    error = np.nanmean(np.abs(actual - outputs[first:last])) / run.plan.forecast.targets[0].scale
    assert error == pytest.approx(run.measure(result).compared.model, rel=1e-5)
    assert run.measure(result) is run.measure(result)  # evaluated and published, measured once
    residuals = run.plan.forecast.model_copy(update={"residuals": spec.layers[-1].residuals}).residuals  # type: ignore[attr-defined]  # the last layer is a forecast
    assert residuals is not None
    quantiles = np.array(residuals.values).reshape(6, len(LEVELS))
    inside = (actual - outputs[first:last] >= quantiles[:, 2]) & (actual - outputs[first:last] <= quantiles[:, 6])
    assert inside[~np.isnan(actual)].mean() == pytest.approx(0.8, abs=0.03)


def test_the_measurement_continues_the_state_of_the_steps_before(cache: KernelCache) -> None:
    """Other readings long before the held-out part change what is measured there."""
    readings = hourly(30)
    run, weights = prepared(readings, cache)
    other = hourly(30)
    other.values["temp"][: run.series[0].trained] += 3
    moved = ForecastRun(run.plan, other, lambda spec: CompiledNetwork(Network(spec), cache))
    assert moved.measure(weights).compared.model != run.measure(weights).compared.model


def test_a_model_is_trained_on(cache: KernelCache) -> None:
    readings = hourly(30)
    run, weights = prepared(readings, cache, epochs=3)
    spec, full = run.published(trained(run, weights))
    again = plan_again(readings, DATA, {"epochs": 2}, spec)
    goes_on = ForecastRun(again, readings, lambda spec: CompiledNetwork(Network(spec), cache))
    begun = goes_on.weights(full, seed=0)
    assert (
        goes_on.measure(begun).compared.model
        == run.measure({name: begun[name] for name, _ in run.trained.network.parameters}).compared.model
    )
    result = trained(goes_on, begun)
    for name in ("0.W", "1.W", "4.W"):
        assert np.array_equal(result[name], begun[name])


def test_intervals_follow_noise_that_grows_after_the_training(cache: KernelCache) -> None:
    """The published network covers 80% of readings whose noise is six times as large as it was in training."""
    run, weights = prepared(hourly(30), cache, epochs=3)
    spec, full = run.published(trained(run, weights))
    network = CompiledNetwork(Network(spec), cache)
    bound, layer = network.bind(full, inference=True), network.network.forecast
    later = hourly(40, seed=2)
    later.values["temp"][:] += np.random.default_rng(5).normal(0, 2, later.rows)
    rows = rows_of(run.plan.readings.layout, later, slice(0, later.rows))[:, None]
    state, inside, fixed = bound.initial_state(1), list[float](), list[float]()
    actual = ahead(later.values["temp"].astype(np.float64)[:, None], 0, later.rows, 6)[:, :, 0]
    assert layer is not None
    for step in range(later.rows):
        done = bound.run(rows[step : step + 1], state)
        state = done.state
        for found, factors in ((inside, factors_of(network.network, state)), (fixed, None)):
            ends = quantiles(layer, done.outputs[0], np.array([0.1, 0.9]), factors)[0, :, 0]
            found.append(float(np.mean((actual[step] >= ends[:, 0]) & (actual[step] <= ends[:, 1]))))
    assert np.mean(fixed[200:-6]) < 0.6
    assert np.mean(inside[200:-6]) == pytest.approx(0.8, abs=0.04)


def test_a_network_that_reads_times_knows_those_of_its_forecasts(cache: KernelCache) -> None:
    """An hour that is no hour away changes its features; the times ahead are at the interval of the data."""
    readings = hourly(30)
    data = DATA.model_copy(update={"times": True})
    made = make_plan(readings, data, {"epochs": 3})
    plan = read_plan(json.loads(json.dumps(made.document())), made.training)
    assert [each.value for each in made.choices if each.field == "data.times"] == ["at"]
    run = ForecastRun(plan, readings, lambda spec: CompiledNetwork(Network(spec), cache))
    spec, full = run.published(trained(run, run.weights(None, seed=1)))
    network = CompiledNetwork(Network(spec), cache)
    assert {"sine of hour", "sine of weekday", "time since the last step"} <= set(plan.readings.features)
    assert "sine of day_of_year" not in plan.readings.features
    bound = network.bind(full, inference=True)
    rows = rows_of(plan.readings.layout, readings, slice(0, 50))[:, None]
    state = bound.run(rows, bound.initial_state(1)).state
    ahead_s = times_ahead(network.network, state, 6)
    assert ahead_s is not None
    np.testing.assert_array_equal(ahead_s[0], 3600 * np.arange(50, 56))


def test_times_need_a_column_of_times() -> None:
    readings = dataclasses.replace(hourly(30), times=None)
    with pytest.raises(InvalidInput) as caught:
        make_plan(readings, DATA.model_copy(update={"times": True}), {})
    assert caught.value.pointer == "/data/times"


def test_forecasts_of_a_trend_with_a_season_begin_with_the_period_before(cache: KernelCache) -> None:
    """What the LSTM adds is added to the value of a period before, in the plan and in the published network."""
    steps = np.arange(240.0)
    noise = np.random.default_rng(1).normal(0, 0.3, 240)
    readings = table({"temp": 20 + steps / 5 + 5 * np.sin(2 * np.pi * steps / 12) + noise}, [240], 2_629_800)
    plan = make_plan(readings, DATA, {"epochs": 3})
    assert next(each.value for each in plan.choices if each.field == "begin") == "the value 12 steps before"
    run, weights = prepared(readings, cache, epochs=3)
    nothing = {name: np.zeros_like(weights[name]) for name in ("3.W", "3.b")}
    found = run.measure({**weights, **nothing}).compared
    assert found.model == pytest.approx(found.seasonal_value, rel=1e-5)
    assert run.evaluate(weights, trained(run, weights)).mae is not None
    assert make_plan(readings, DATA, {}, [{"type": "recurrent", "cell": "gru", "hidden_size": 2}]).trunk is None
