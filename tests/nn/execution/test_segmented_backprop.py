"""Windows that are run in segments: what is the same to the bit, what only agrees, and how much memory they take."""

import functools
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.engine.execution.scratch_pool import Scratch, ScratchPool
from cellar.nn.execution import segmented_backprop
from cellar.nn.execution.dropout import Masks, draw_masks
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork, Gradients
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from tests.nn import oracle
from tests.nn.golden.cases import LAYER_NORM, dense, dropout, embedding, network, recurrent, residual

Array = np.ndarray[Any, np.dtype[np.float32]]
Lengths = np.ndarray[Any, np.dtype[np.int32]]

NESTED = network(
    1,
    embedding(5, 3),
    residual(dropout(0.5), residual(recurrent("rnn", 3)), dense(3)),
    LAYER_NORM,
    recurrent("rnn", 3, trainable_state=True),
    dropout(0.5),
)
STEPS, LENGTHS = 11, np.array([11, 1, 4, 9, 0], np.int32)
ROWS = len(LENGTHS)


@pytest.fixture(scope="module")
def nested(cache: KernelCache) -> BoundNetwork:
    """Return a network with everything that may be cut, its weights all random."""
    built = oracle.make_network(NESTED)
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape).astype(np.float32) * np.float32(0.7) for name, shape in built.parameters}
    return CompiledNetwork(built, cache).bind(weights)


def masks_of(bound: BoundNetwork, steps: slice) -> Masks:
    """Return the masks of some steps of an update."""
    return draw_masks(bound.network.layers, 3, 0, 0, steps.stop - steps.start, ROWS, first=steps.start)


def run_and_back(bound: BoundNetwork, lengths: Lengths | None, steps: int | None) -> tuple[Array, Array, Gradients]:
    """Return outputs, the state after them, and gradients of a window run in segments of so many steps."""
    ids = np.random.default_rng(1).integers(0, 5, (STEPS, ROWS, 1)).astype(np.float32)
    masks = functools.partial(masks_of, bound)
    run = segmented_backprop.run(bound, ids, bound.initial_state(ROWS), lengths, masks, steps)
    d_outputs = np.random.default_rng(2).normal(size=run.outputs.shape).astype(np.float32)
    return run.outputs, run.state, segmented_backprop.backward(bound, run, d_outputs)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("steps", [1, 4, 10, 11, 99])
def test_only_sums_of_vectors_know_the_cut(steps: int, lengths: Lengths | None, nested: BoundNetwork) -> None:
    outputs, state, gradients = run_and_back(nested, lengths, None)
    cut_outputs, cut_state, found = run_and_back(nested, lengths, steps)
    assert cut_outputs.tobytes() == outputs.tobytes()
    assert cut_state.tobytes() == state.tobytes()
    assert found.state.tobytes() == gradients.state.tobytes()
    assert found.weights.keys() == gradients.weights.keys()
    for name, expected in gradients.weights.items():
        if expected.ndim == 2 or steps >= STEPS:
            assert found.weights[name].tobytes() == expected.tobytes(), name
        else:
            np.testing.assert_allclose(found.weights[name], expected, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_same_cut_gives_the_same_bits(nested: BoundNetwork) -> None:
    first, again = (run_and_back(nested, LENGTHS, 3)[2].weights for _ in range(2))
    assert {name: array.tobytes() for name, array in first.items()} == {n: a.tobytes() for n, a in again.items()}


@pytest.mark.parametrize(
    ("total", "steps", "expected"),
    [
        (7, 3, [(0, 3), (3, 6), (6, 7)]),
        (6, 3, [(0, 3), (3, 6)]),
        (2, 3, [(0, 2)]),
        (5, None, [(0, 5)]),
        (0, 3, [(0, 0)]),
    ],
)
def test_a_window_is_cut_from_its_start(total: int, steps: int | None, expected: list[tuple[int, int]]) -> None:
    assert [(segment.start, segment.stop) for segment in segmented_backprop.cut(total, steps)] == expected


def test_the_first_bad_step_is_counted_from_the_start_of_the_window(cache: KernelCache) -> None:
    """A state that grows beyond all floats, in its first row at once, and in its second one later."""
    built = oracle.make_network(network(1, recurrent({"equations": "h = 1e20 * h + b + x"}, 1)))
    bound = CompiledNetwork(built, cache).bind(built.init(0))
    inputs = np.zeros((7, 3, 1), np.float32)
    inputs[0, 0] = inputs[4, 1] = 1
    whole, cut = (
        segmented_backprop.run(bound, inputs, bound.initial_state(3), None, lambda _: {}, steps) for steps in (None, 2)
    )
    assert whole.bad_step is not None
    assert whole.bad_kind is not None
    assert cut.bad_step is not None
    assert cut.bad_kind is not None
    assert whole.bad_step.tolist() == cut.bad_step.tolist() == [2, 6, -1]
    assert whole.bad_kind[:2].tolist() == cut.bad_kind[:2].tolist() == [1, 1]


class Counted(ScratchPool):
    """Scratch memory that keeps nothing, and knows how much of it was out at once."""

    def __init__(self) -> None:
        super().__init__(0)
        self.out = self.peak = 0

    def take(self, length: int, *, clear: bool) -> Scratch:
        """Return an arena and count its bytes."""
        arena = super().take(length, clear=clear)
        self.out += arena.memory.nbytes
        self.peak = max(self.peak, self.out)
        return arena

    def give_back(self, memory: Any) -> None:
        """Count the bytes off."""
        self.out -= memory.nbytes
        super().give_back(memory)


def peak_bytes(window: int, recompute: int | None, cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the most scratch memory at once of two updates, each of a window of so many steps."""
    pool = Counted()
    monkeypatch.setattr("cellar.engine.execution.invocation.ARENAS", pool)
    compiled = CompiledNetwork(oracle.make_network(network(3, recurrent("rnn", 3), dropout(0.5), dense(2))), cache)
    inputs = np.random.default_rng(0).normal(size=(window, 2, 3)).astype(np.float32)
    training = TrainingSpec.model_validate({"epochs": 2, "recompute": recompute, "validation": 0.5})
    *_, last = fit(compiled, compiled.network.init(0), Dataset(inputs, inputs[:, :, :2]), training)
    assert last.history[-1].loss < last.history[0].loss
    return pool.peak


def test_memory_does_not_grow_with_the_window(cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the losses, a float for each step and row, that are added up at once."""
    short, long = (peak_bytes(window, 32, cache, monkeypatch) for window in (1024, 8192))
    losses = 8192 * np.dtype(np.float32).itemsize
    assert short <= long <= short + 2 * losses
    assert peak_bytes(8192, None, cache, monkeypatch) > 20 * long
