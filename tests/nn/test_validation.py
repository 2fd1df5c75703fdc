"""Validation by a fraction: its loss is that of a session that was fed the same steps, one by one."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellar.engine import KernelCache
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.training.checkpoints.progress import EpochRecord
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from tests.nn import oracle
from tests.nn.golden.cases import bidirectional, dense, network, recurrent

Array = np.ndarray[Any, Any]

STAND_STILL = {"type": "sgd", "learning_rate": 1e-30}
"""The weights after an epoch are those before it."""


@pytest.fixture(scope="module")
def compiled(cache: KernelCache) -> CompiledNetwork:
    """Return a network whose state says how much it has seen."""
    return CompiledNetwork(oracle.make_network(network(1, recurrent("gru", 4, trainable_state=True), dense(1))), cache)


def only_epoch(compiled: CompiledNetwork, data: Dataset, **fields: Any) -> EpochRecord:
    """Return what an epoch with a learning rate of nothing measures."""
    spec = TrainingSpec.model_validate({"epochs": 1, "optimiser": STAND_STILL, **fields})
    *_, last = fit(compiled, compiled.network.init(0), data, spec)
    return last.history[0]


def squares(session: BoundNetwork, inputs: Array, targets: Array) -> Array:
    """Return the squared errors of the last steps when a new session is fed (T, 1, 1) step by step."""
    state, outputs = session.initial_state(1), []
    for step in inputs:
        run = session.run(step[None], state)
        state = run.state
        outputs.append(run.outputs[0].astype(np.float64))
    squared: Array = (np.stack(outputs[len(outputs) - len(targets) :]) - targets) ** 2
    return squared


@st.composite
def regimes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw settings and the shape of data that has at least two steps or rows to divide."""
    warmup, skip = draw(st.integers(0, 5)), draw(st.integers(0, 3))
    return {
        "steps": warmup + skip + draw(st.integers(2, 24)),
        "rows": draw(st.integers(1, 3)),
        "state": draw(st.sampled_from(["reset", "carry"])),
        "window": draw(st.none() | st.integers(skip + 1, 30)),
        "warmup": warmup,
        "skip": skip,
        "batch_size": draw(st.integers(1, 3)),
        "validation": draw(st.sampled_from([0.1, 0.25, 0.29, 0.5, 0.57])),
    }


def stretches(regime: dict[str, Any]) -> list[tuple[slice, slice, slice]]:
    """Return (rows, steps fed, steps scored) of the sessions that measure what is held out."""
    steps, rows, share = regime["steps"], regime["rows"], Fraction(str(regime["validation"]))
    before = regime["warmup"] + regime["skip"]
    each = [slice(row, row + 1) for row in range(rows)]
    if regime["state"] == "reset" and regime["window"] is None and rows > 1:
        kept = rows - max(1, int(rows * share))
        return [(row, slice(0, steps), slice(before, steps)) for row in each[kept:]]
    first = steps - max(1, int((steps - before) * share))
    window = regime["window"] or steps
    if regime["state"] == "carry" or window >= steps - regime["warmup"]:
        return [(row, slice(0, steps), slice(first, steps)) for row in each]
    length = window - regime["skip"]
    windows = [(begin, min(begin + length, steps)) for begin in range(first, steps, length)]
    return [(row, slice(begin - before, end), slice(begin, end)) for row in each for begin, end in windows]


@settings(deadline=None)
@given(regimes())
def test_the_loss_is_that_of_sessions_that_are_fed_the_same(compiled: CompiledNetwork, regime: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    shape = (regime["steps"], regime["rows"], 1)
    data = Dataset(rng.normal(size=shape).astype(np.float32), rng.normal(size=shape).astype(np.float32))
    record = only_epoch(compiled, data, **{name: regime[name] for name in regime if name not in ("steps", "rows")})
    session = compiled.bind(compiled.network.init(0))
    errors = [
        squares(session, data.inputs[fed, row], data.targets[scored, row]).ravel()
        for row, fed, scored in stretches(regime)
    ]
    assert record.validation_loss == pytest.approx(np.concatenate(errors).mean(), rel=1e-5)


@pytest.mark.parametrize("fields", [{"state": "carry", "window": 5}, {"state": "carry", "warmup": 3}, {}])
def test_a_sum_goes_on_from_the_trained_steps(cache: KernelCache, fields: dict[str, Any]) -> None:
    adding = recurrent({"equations": "h = h + W @ x", "init": {"W": {"constant": 1}}}, 1)
    compiled = CompiledNetwork(oracle.make_network(network(1, adding)), cache)
    inputs, targets = np.ones((20, 1, 1), np.float32), np.arange(1, 21, dtype=np.float32).reshape(20, 1, 1)
    assert only_epoch(compiled, Dataset(inputs, targets), validation=0.25, **fields).validation_loss == 0


def test_a_long_way_to_the_held_out_steps_is_run_in_pieces(
    compiled: CompiledNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.sin(np.arange(50) * 0.4).astype(np.float32).reshape(50, 1, 1)
    data, fields = Dataset(values[:-1], values[1:]), {"state": "carry", "window": 8, "validation": 0.2}
    whole = only_epoch(compiled, data, **fields)
    monkeypatch.setattr("cellar.nn.training.evaluation.WARMUP_STEPS", 7)
    assert only_epoch(compiled, data, **fields) == whole


@pytest.mark.parametrize("fields", [{"window": 9}, {"window": 9, "state": "carry"}, {"warmup": 2, "skip": 5}, {}])
def test_windows_are_measured_in_segments_to_the_same_bits(compiled: CompiledNetwork, fields: dict[str, Any]) -> None:
    values = np.random.default_rng(3).normal(size=(50, 2, 1)).astype(np.float32)
    data = Dataset(values[:-1], values[1:], Dataset(values[5:-1], values[6:]))
    whole, cut = (only_epoch(compiled, data, **fields, recompute=steps) for steps in (None, 4))
    assert cut.validation_loss == whole.validation_loss


def test_a_network_that_reads_whole_sequences_reads_the_held_out_steps_as_one(cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(network(1, bidirectional("rnn", 4), dense(1))), cache)
    values = np.sin(np.arange(41) * 0.4).astype(np.float32).reshape(41, 1, 1)
    record = only_epoch(compiled, Dataset(values[:-1], values[1:]), validation=0.25)
    session = compiled.bind(compiled.network.init(0))
    outputs = session.run(values[30:40], session.initial_state(1)).outputs
    assert record.validation_loss == pytest.approx(((outputs - values[31:]) ** 2).mean(), rel=1e-5)
