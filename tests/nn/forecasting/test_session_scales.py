"""Scales that sessions keep: of a series or of their own readings, the same in steps, sequences, batches and scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.forecasting.heads import quantiles
from cellar.nn.forecasting.scores import Scorer
from cellar.nn.forecasting.session_scales import RunningScales, scales_of
from cellar.nn.forecasting.widths import Adapting, factors_of
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

LEVELS, DEVIATIONS = (1.0, 10_000.0), (0.1, 1000.0)
FITTED = {"shift": 5.0, "scale": 2.0, "lowest": 0.5, "highest": 13_000.0, "readings": 9, "missing": 0, "relative": 0.1}


def document(*, per_series: bool, adapts: bool = True, head: Any = "point") -> dict[str, Any]:
    """Return a network that forecasts the last reading twice, in the scale of the session."""
    own = {"series_shift": LEVELS, "series_scale": DEVIATIONS} if per_series else {}
    column = {"kind": "number", "name": "load", "role": "target", "session_scale": True, "fitted": FITTED | own}
    column |= {"per_series": True} if per_series else {"scaling": "causal"}
    columns = [column, *([{"kind": "series", "name": "place", "ids": ["a", "b"]}] if per_series else [])]
    each = 1 if head == "point" else 3
    forecast = {"type": "forecast", "targets": [{"name": "load"}], "horizon": 2, "head": head, "session_scale": True}
    if head == "point":
        forecast["residuals"] = {"levels": [0.1, 0.5, 0.9], "values": [-1, 0.25, 1, -2, 0.25, 2]}
        if adapts:
            forecast["residuals"] |= {"adaptation": {"rate": 0.3, "factors": [1, 1.5]}}
    repeated = {"type": "dense", "out_size": 2 * each, "bias": False}
    return {"in_size": len(columns), "layers": [{"type": "readings", "columns": columns}, repeated, forecast]}


def bound_network(directory: Path, **options: Any) -> BoundNetwork:
    """Return the network with its weights."""
    network = CompiledNetwork(Network(NetworkSpec.model_validate(document(**options))), KernelCache(directory))
    each = network.network.out_size // 2
    repeats = np.tile(np.eye(each, 1, dtype=np.float32), (2, 1))
    return network.bind(network.network.init(0) | {"1.W": repeats}, inference=True)


def readings(steps: int, *, per_series: bool) -> Any:
    """Return readings (steps, 2, in_size) of both series, some missing; the first step alone has their ids."""
    random = np.random.default_rng(3)
    found = (np.array(LEVELS) + np.array(DEVIATIONS) * random.normal(0, 1, (steps, 2)))[..., None]
    found[random.random(found.shape) < 0.1] = np.nan
    if per_series:
        codes = np.full((steps, 2, 1), np.nan)
        codes[0, :, 0] = 0, 1
        found = np.concatenate([found, codes], axis=2)
    return found.astype(np.float32)


@pytest.mark.parametrize("per_series", [True, False])
def test_forecasts_are_in_units_of_each_series(kernel_directory: Path, per_series: bool) -> None:
    """Intervals too; and steps, sequences and batches have the same bits, as the scores and what they compute again."""
    bound, inputs = bound_network(kernel_directory, per_series=per_series), readings(100, per_series=per_series)
    network = bound.network
    begun, scorer, running = (
        bound.initial_state(2),
        Scorer.of(network),
        RunningScales.of(network, bound.initial_state(2)),
    )
    assert network.forecast is not None
    assert network.readings is not None
    assert scorer is not None
    assert running is not None
    widths, state, outputs, scores = Adapting.of(network, begun), begun, [], []
    assert widths is not None
    encoded = network.readings.encode(inputs)
    for step in range(len(inputs)):
        run = bound.run(inputs[step : step + 1], state)
        alone = [bound.run(inputs[step : step + 1, row : row + 1], state[row : row + 1]).state for row in range(2)]
        assert np.concatenate(alone).tobytes() == run.state.tobytes()
        scores.append(scorer.score(state.tobytes(), inputs[step : step + 1], run.outputs))
        state, scales = run.state, scales_of(network, run.state)
        assert scales is not None
        assert running.step(encoded[step]).tobytes() == scales.tobytes()
        outputs.append(run.outputs)
    whole = bound.run(inputs, begun)
    assert whole.state.tobytes() == state.tobytes()
    assert whole.outputs.tobytes() == np.concatenate(outputs).tobytes()
    assert scorer.score(begun.tobytes(), inputs, whole.outputs).tobytes() == np.concatenate(scores).tobytes()
    factors = factors_of(network, state)
    assert factors is not None
    assert len(np.unique(factors)) > 2
    known = ~np.isnan(inputs[1:, :, 0])
    assert np.allclose(whole.outputs[1:, :, 0][known], inputs[1:, :, 0][known], rtol=1e-5)
    ends = quantiles(network.forecast, whole.outputs[-1], np.array([0.1, 0.9]), None, scales_of(network, state))
    half = (ends[..., 1] - ends[..., 0])[:, :, 0] / 2
    assert half[:, 0] == pytest.approx(DEVIATIONS, rel=1e-6 if per_series else 0.15)
    assert half[:, 1] == pytest.approx(2 * half[:, 0])


def test_a_series_without_numbers_has_those_of_its_readings(kernel_directory: Path) -> None:
    """An unknown id, and none; a known id that comes later changes the scale from then on."""
    bound = bound_network(kernel_directory, per_series=True, adapts=False)
    causal = bound_network(kernel_directory, per_series=False, adapts=False)
    inputs = readings(30, per_series=True)
    inputs[0, :, 1] = -1, np.nan
    run = bound.run(inputs, bound.initial_state(2))
    alone = causal.run(np.ascontiguousarray(inputs[..., :1]), causal.initial_state(2))
    found, expected = scales_of(bound.network, run.state), scales_of(causal.network, alone.state)
    assert found is not None
    assert expected is not None
    assert found.tobytes() == expected.tobytes()
    inputs[0, :, 1] = 1, 0
    named = scales_of(bound.network, bound.run(inputs[:1], run.state).state)
    assert named is not None
    assert named[:, 0] == pytest.approx(DEVIATIONS[::-1])


def test_distributions_have_the_scale_of_the_session(kernel_directory: Path) -> None:
    bound = bound_network(kernel_directory, per_series=True, head={"distribution": "student"})
    run = bound.run(readings(20, per_series=True), bound.initial_state(2))
    deviations, degrees = run.outputs[-1, :, 1], run.outputs[-1, :, 2]
    assert deviations[1] / deviations[0] == pytest.approx(10_000)
    assert degrees[0] == degrees[1] > 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scaling": "causal"}, "per_series or the scaling causal"),
        ({"missing": "mean"}, "is carried"),
        ({"session_scale": False}, "do not keep the scale"),
    ],
)
def test_a_scale_that_cannot_be_kept_is_refused(change: dict[str, Any], said: str) -> None:
    found = document(per_series=True, adapts=False)
    found["layers"][0]["columns"][0] |= change
    with pytest.raises((InvalidInput, ValueError), match=said):
        Network(NetworkSpec.model_validate(found))
