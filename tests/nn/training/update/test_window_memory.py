"""The memory of windows: what a recording takes, and segments that change no bit."""

from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.nn.execution.dropout import Masks, draw_masks
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.data.batches import Batch
from cellar.nn.training.losses.mse import MeanSquaredError
from cellar.nn.training.objective import Objective
from cellar.nn.training.update.compiled_loss import CompiledLoss
from cellar.nn.training.update.loss_gradient import LossGradient
from cellar.nn.training.update.weight_vector import Trainee, joined
from cellar.nn.training.update.window_memory import WindowMemory
from tests.nn import oracle
from tests.nn.golden.cases import dense, network, recurrent
from tests.nn.training.update import test_loss_gradient as gradients

TWICE = "h = tanh(W @ x + W @ h + W @ (x * h) + b)"
"""A cell that reads a matrix three times."""

NETWORKS = {
    "nested": gradients.NESTED,
    "deep": gradients.DEEP,
    "twice": network(3, recurrent({"equations": TWICE}, 3, trainable_state=True), dense(2)),
}


OF_SHAPE = LossGradient._of_shape


def poisoned(self: LossGradient, batch: Batch, *, begins: bool, is_segment: bool) -> object:
    """Return the recording, with its workspace full of NaN."""
    found = OF_SHAPE(self, batch, begins=begins, is_segment=is_segment)
    self._memory.workspace._block.memory[:] = 0xFF
    return found


def gradient_of(spec: dict[str, Any], most_bytes: int, cache: KernelCache) -> LossGradient:
    """Return the gradient of the mean squared error, with a bound on the memory of windows."""
    compiled = CompiledNetwork(oracle.make_network(spec), cache)
    loss = CompiledLoss(MeanSquaredError(type="mse"), compiled.network.out_size, compiled.arithmetic)
    trainee = Trainee(compiled)
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in compiled.network.parameters}
    trainee.load(joined(compiled.network, weights))
    return LossGradient(compiled, trainee, loss, None, WindowMemory(compiled.network, loss.objective, most_bytes))


def learn(gradient: LossGradient, steps: int, rows: int, *, ragged: bool, skip: int) -> list[bytes]:
    """Return loss, state and gradient of a random batch as bytes."""
    built, rng = gradient._compiled.network, np.random.default_rng(1)
    ids = rng.integers(0, 5, (steps, rows, 1)).astype(np.float32)
    inputs = ids if built.takes_ids else rng.normal(size=(steps, rows, built.in_size)).astype(np.float32)
    targets = rng.normal(size=(steps - skip, rows, built.out_size)).astype(np.float32)
    lengths = rng.integers(skip, steps + 1, rows).astype(np.int32) if ragged else None
    before = np.repeat(gradient._trainee.network.initial, rows, axis=0)

    def masks(part: slice) -> Masks:
        return draw_masks(built.layers, 3, 0, 0, part.stop - part.start, rows, first=part.start)

    found = gradient.of(Batch(None, inputs, targets, skip, lengths), before, masks, [0.5], begins=True)
    return [np.float64(found.losses[0]).tobytes(), found.state.tobytes(), found.gradient.tobytes()]


@pytest.mark.parametrize("skip", [0, 37])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("name", NETWORKS)
def test_segments_that_are_chosen_change_no_bit(
    name: str, ragged: bool, skip: int, cache: KernelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LossGradient, "_of_shape", poisoned)
    whole, divided = (gradient_of(NETWORKS[name], most, cache) for most in (2**30, 1))
    for steps, rows in ((50, 5), (23, 16), (300, 1), (131, 2), (37, 33)):
        if skip < steps:
            assert len(whole._windows.segments(steps, rows, None)) == 1
            assert len(divided._windows.segments(steps, rows, None)) > 1 or (name, rows) in {
                ("twice", 5),
                ("twice", 33),
            }
            found, expected = (learn(way, steps, rows, ragged=ragged, skip=skip) for way in (divided, whole))
            assert found == expected, (steps, rows)


@pytest.mark.parametrize("name", gradients.SPECS)
def test_a_recording_takes_the_memory_that_was_computed(name: str, cache: KernelCache) -> None:
    gradient = gradient_of(gradients.SPECS[name], 2**30, cache)
    for steps, rows in ((40, 5), (100, 1), (3, 64)):
        gradient._recorded.clear()
        learn(gradient, steps, rows, ragged=False, skip=0)
        expected = gradient._windows.bytes(steps, rows)
        assert 0.8 * expected <= gradient._memory.workspace.used <= expected


@pytest.mark.parametrize("case", [case for case in gradients.GOLDEN if "clipped" not in case and "mae" not in case])
def test_no_recording_reads_what_others_have_left(
    case: str, cache: KernelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LossGradient, "_of_shape", poisoned)
    gradients.test_all_checkpoints_of_a_run_have_the_bits_of_the_revision(case, cache)


@pytest.mark.parametrize(("rows", "unit"), [(1, 16), (5, 16), (8, 2), (16, 1), (33, 16), (48, 1)])
def test_segments_begin_at_the_end_and_have_whole_lanes(rows: int, unit: int) -> None:
    built = oracle.make_network(gradients.DEEP)
    loss = Objective.of(MeanSquaredError(type="mse"), built.out_size)
    memory = WindowMemory(built, loss, most_bytes=1_500_000)
    segments = memory.segments(5_000, rows, None)
    first, *others = segments
    assert (first.start, segments[-1].stop) == (0, 5_000)
    assert {later.start - sooner.stop for sooner, later in zip(segments, others, strict=False)} == {0}
    (length,) = {part.stop - part.start for part in others}
    assert length % unit == 0
    assert first.stop <= length
    assert memory.bytes(length, rows) <= 1_500_000 or length == unit
    assert memory.bytes(length + 2 * unit, rows) > 1_500_000 / 2


def test_the_memory_of_many_windows_is_bounded() -> None:
    built = oracle.make_network(network(8, recurrent("lstm", 64), dense(1)))
    loss = Objective.of(MeanSquaredError(type="mse"), built.out_size)
    memory = WindowMemory(built, loss)
    assert memory.bytes(10_000, 32) > 2**30
    assert memory.piece_bytes(10_000, 32, None) < 40 * 2**20
    assert memory.piece_bytes(10_000, 32, 5_000) > 2**29
