"""Widths of intervals that follow the errors of a session: the same factors everywhere, and what they cover."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.forecasting.heads import quantiles
from cellar.nn.forecasting.scores import Scorer
from cellar.nn.forecasting.widths import Adapting, factors_of, own_state, readings_of
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

HORIZON, TARGETS = 3, ("flow", "level")
FITTED = {"scale": 2.0, "lowest": 0.0, "highest": 9.0, "readings": 9, "missing": 0}


def document(**residuals: Any) -> dict[str, Any]:
    """Return a network that repeats the last readings of two targets, with intervals whose widths adapt."""
    columns = [
        {"kind": "number", "name": name, "role": "target", "fitted": FITTED | {"shift": shift}}
        for name, shift in zip(TARGETS, (5, -1), strict=True)
    ]
    ends = [level * half for _ in range(HORIZON) for half in (0.5, 2) for level in (-1, 0.1, 1)]
    adaptation = {"rate": 0.3, "factors": [1, 1, 1.5, 1, 1, 2]}
    forecast = {
        "type": "forecast",
        "targets": [{"name": name, "shift": shift, "scale": 2.0} for name, shift in zip(TARGETS, (5, -1), strict=True)],
        "horizon": HORIZON,
        "residuals": {"levels": [0.1, 0.5, 0.9], "values": ends, "adaptation": adaptation} | residuals,
    }
    repeated = {"type": "dense", "out_size": HORIZON * len(TARGETS), "bias": False}
    return {"in_size": 2, "layers": [{"type": "readings", "columns": columns}, repeated, forecast]}


@pytest.fixture(scope="module")
def network(kernel_directory: Path) -> CompiledNetwork:
    """Return the network."""
    return CompiledNetwork(Network(NetworkSpec.model_validate(document())), KernelCache(kernel_directory))


def readings(steps: int, rows: int) -> Any:
    """Return random readings (steps, rows, 2), some of which are missing."""
    random = np.random.default_rng(3)
    found = np.cumsum(random.normal(0, 1, (steps, rows, 2)), axis=0).astype(np.float32)
    found[random.random(found.shape) < 0.1] = np.nan
    return found


def test_factors_of_states_are_those_computed_from_outputs(network: CompiledNetwork) -> None:
    """Bit for bit, with missing readings, from a state in the middle, and in one call or in many."""
    weights = network.network.init(0) | {"1.W": np.tile(np.eye(2, dtype=np.float32), (HORIZON, 1))}
    bound, inputs = network.bind(weights, inference=True), readings(120, 2)
    begun = bound.run(inputs[:20], bound.initial_state(2)).state
    widths = Adapting.of(network.network, begun)
    assert widths is not None
    known, present = readings_of(network.network, inputs[20:])
    state, seen = begun, set()
    for step in range(100):
        run = bound.run(inputs[20 + step : 21 + step], state)
        state = run.state
        widths.step(known[step], present[step], run.outputs[0])
        found = factors_of(network.network, state)
        assert found is not None
        assert found.tobytes() == widths.factors.tobytes()
        seen.add(found.tobytes())
    assert len(seen) > 50
    assert bound.run(inputs[20:], begun).state.tobytes() == state.tobytes()
    assert (own_state(network.network, state, "factor") > 0).all()


def test_scores_of_a_sequence_are_those_of_its_steps(network: CompiledNetwork) -> None:
    weights = network.network.init(0) | {"1.W": np.tile(np.eye(2, dtype=np.float32), (HORIZON, 1))}
    bound, inputs = network.bind(weights, inference=True), readings(60, 2)
    scorer = Scorer.of(network.network)
    assert scorer is not None
    state, single = bound.initial_state(2), []
    for step in range(60):
        run = bound.run(inputs[step : step + 1], state)
        single.append(scorer.score(state.tobytes(), inputs[step : step + 1], run.outputs))
        state = run.state
    begun = bound.initial_state(2)
    whole = scorer.score(begun.tobytes(), inputs, bound.run(inputs, begun).outputs)
    assert np.concatenate(single).tobytes() == whole.tobytes()
    assert np.isfinite(whole).sum() > 100


def test_a_wider_factor_moves_the_ends_away_from_the_centre() -> None:
    layer = Network(NetworkSpec.model_validate(document())).forecast
    assert layer is not None
    outputs = np.full((1, 6), 10.0)
    ends = quantiles(layer, outputs, np.array([0.1, 0.5, 0.9]), np.full((1, HORIZON, 2), 2.0))
    np.testing.assert_allclose(ends[0, 0], [[8.95, 10.05, 11.0 - 0.05 + 0], [7.8 - 2 + 0.0, 10.2, 13.8]], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"head": {"quantiles": [0.5]}}, "/layers/2/residuals/adaptation"),
        ({"targets": [{"name": "flow"}, {"name": "other"}]}, "/layers/2/residuals/adaptation"),
        ({"factors": [1.0]}, "/layers/2/residuals/adaptation/factors"),
    ],
)
def test_widths_adapt_to_readings_of_the_targets_of_a_point(change: dict[str, Any], pointer: str) -> None:
    made = document()
    forecast = made["layers"][2]
    if "factors" in change:
        forecast["residuals"]["adaptation"] |= change
    else:
        forecast |= change
    with pytest.raises(InvalidInput) as caught:
        Network(NetworkSpec.model_validate(made))
    assert caught.value.pointer == pointer
