"""Sessions of models that jobs on datasets make, which learn while they serve: in units of their targets."""

import json
from typing import Any

import numpy as np
import pytest

from cellar.engine import Floats, KernelCache
from cellar.errors import InvalidInput
from cellar.jobs.recipe.planning.plan import make_plan
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.recipe.run import ForecastRun
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.forecasting.publishing import readings_alone
from cellar.nn.learning.bptt_network import BpttNetwork
from cellar.nn.learning.forecast_network import ForecastLearner
from cellar.nn.learning.learning_network import LearningNetwork
from cellar.nn.learning.readout_network import ReadoutNetwork
from cellar.nn.learning.spec import BpttSpec, Learning, RlsSpec
from cellar.nn.learning.trunk import Trunk, trunk_learning
from cellar.nn.model.network import Network
from cellar.nn.readings.table import rows_of
from cellar.table import Table
from tests.jobs.recipe.planning.test_scales import of_levels

HORIZON = 6
DATA = ForecastData.model_validate({"dataset": "r", "targets": ["temp"], "horizon": HORIZON})
SPECS = [RlsSpec(), BpttSpec(learning_rate=0.05)]


def published(readings: Table, cache: KernelCache) -> tuple[BoundNetwork, dict[str, Floats]]:
    """Return a network as a job makes it, with random weights in place of trained ones."""
    run = ForecastRun(make_plan(readings, DATA, {}), readings, lambda spec: CompiledNetwork(Network(spec), cache))
    spec, weights = run.published(run.weights(None, seed=1))
    return CompiledNetwork(Network(spec), cache).bind(weights, inference=True), weights


def learner(bound: BoundNetwork, weights: dict[str, Floats], spec: Any, cache: KernelCache) -> ForecastLearner:
    """Return the network for sessions that learn."""
    trunk = Trunk.of(bound.network)
    assert trunk is not None
    found = Learning.read(trunk_learning(trunk, weights, spec).text)
    compiled, own, inner = CompiledNetwork(trunk.network, cache), trunk.weights(weights), trunk.inner(found)
    learns: LearningNetwork
    if isinstance(spec, RlsSpec):
        learns = ReadoutNetwork(compiled.bind(own, inference=True), compiled, inner, cache)
    else:
        learns = BpttNetwork(compiled.bind(own, inference=True), compiled, inner, own)
    part = CompiledNetwork(Network(readings_alone(bound.network.spec)), cache)
    first = part.bind({name: weights[name] for name, _ in part.network.parameters}, inference=True)
    return ForecastLearner(bound, found, learns, first)


def rows(bound: BoundNetwork, readings: Table, count: int) -> Floats:
    """Return the first rows of all series of a table, (count, series, in_size), some of which are missing."""
    assert bound.network.readings is not None
    parts = [
        rows_of(bound.network.readings.layout, readings, slice(b, b + count)) for b in readings.bounds[:-1].tolist()
    ]
    found = np.stack(parts, axis=1)
    found[5::7, 0, 0] = np.nan
    return found


@pytest.mark.parametrize("levels", [(15,), (1, 10_000)])
@pytest.mark.parametrize("spec", SPECS)
def test_nothing_learnt_has_the_bits_of_the_version(cache: KernelCache, levels: tuple[float, ...], spec: Any) -> None:
    """In a sequence, in steps and in a batch; afterwards the bits of what was learnt do not depend on these either."""
    readings = of_levels(*levels)
    bound, weights = published(readings, cache)
    learns, inputs = learner(bound, weights, spec, cache), rows(bound, readings, 40)
    series = inputs.shape[1]
    plain, found = bound.run(inputs, bound.initial_state(series)), learns.run(inputs, learns.initial_state(series))
    assert found.outputs.tobytes() == plain.outputs.tobytes()
    assert found.state[:, : bound.network.state_size].tobytes() == plain.state.tobytes()
    targets = np.full((1, HORIZON), 3.0, np.float32)
    state = np.concatenate(
        [np.frombuffer(learns.learn(row.tobytes(), [5], targets), np.float32)[None] for row in found.state]
    )
    whole, one = learns.run(inputs, state), state
    assert whole.outputs.tobytes() != plain.outputs.tobytes()
    for step in range(len(inputs)):
        one = np.concatenate(
            [learns.run(inputs[step : step + 1, row : row + 1], one[row : row + 1]).state for row in range(series)]
        )
    assert one.tobytes() == whole.state.tobytes()


@pytest.mark.parametrize("spec", SPECS)
def test_errors_fall_after_a_shift_and_are_measured_in_units(cache: KernelCache, spec: Any) -> None:
    """The targets are 50 above the readings: a change that the version has not seen."""
    readings = of_levels(15)
    bound, weights = published(readings, cache)
    learns, inputs = learner(bound, weights, spec, cache), rows(bound, readings, 200)[:, :1]
    values = np.nan_to_num(inputs[:, 0, 0], nan=15.0)
    state, ours, base = learns.initial_state(1).tobytes(), [], []
    version, plain = bound.run(inputs, bound.initial_state(1)).outputs[:, 0], []
    for step in range(len(inputs)):
        run = learns.run(inputs[step : step + 1], (state,))
        state = run.state.tobytes()
        plain.append(run.outputs[0, 0])
        if step >= HORIZON:
            begun = step - HORIZON
            target = values[begun + 1 : begun + 1 + HORIZON] + 50
            ours.append(float(np.mean((plain[begun] - target) ** 2)))
            base.append(float(np.mean((version[begun] - target) ** 2)))
            state = learns.learn(state, [HORIZON + 1], target[None])
    assert np.mean(ours[-50:]) < 0.1 * np.mean(base[-50:])
    learnt = learns.learnt(state)
    losses = learnt.losses()
    assert losses is not None
    if isinstance(spec, RlsSpec):  # with bptt the version alone is run from the states of the session
        assert losses[0] == pytest.approx(np.mean(base), rel=1e-3)
    assert losses[1] == pytest.approx(np.mean(ours), rel=1e-3)
    given = learnt.target(HORIZON + 1)
    assert given is not None
    assert given.tobytes() == target.tobytes()


def test_the_window_reaches_as_far_as_the_horizon(cache: KernelCache) -> None:
    bound, weights = published(of_levels(15), cache)
    trunk = Trunk.of(bound.network)
    assert trunk is not None
    with pytest.raises(InvalidInput) as refused:
        trunk_learning(trunk, weights, BpttSpec(window=HORIZON - 1))
    assert refused.value.pointer == "/learning/window"
    with pytest.raises(InvalidInput) as refused:
        trunk_learning(trunk, weights, BpttSpec(layers=(0,)))
    assert (refused.value.pointer, refused.value.expected) == ("/learning/layers/0", "one of 1, 2, 3, 4, 5")
    assert json.loads(trunk_learning(trunk, weights, BpttSpec()).text)["spec"]["window"] == HORIZON + 16
