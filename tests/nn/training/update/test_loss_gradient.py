"""Losses and gradients of batches: bits, segments and their memory, and faults on the way."""

import hashlib
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.engine.execution.scratch_pool import Scratch, ScratchPool
from cellar.errors import OutputNotFinite, StateNotFinite
from cellar.nn.execution.dropout import Masks, draw_masks
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training import trainer as fitting
from cellar.nn.training.data.batches import Batch
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.losses.mse import MeanSquaredError
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from cellar.nn.training.update import loss_gradient
from cellar.nn.training.update.compiled_loss import CompiledLoss
from cellar.nn.training.update.loss_gradient import ForwardFault, LossGradient
from cellar.nn.training.update.weight_vector import Trainee, joined, named
from tests.nn import oracle
from tests.nn.golden.cases import (
    LAYER_NORM,
    bidirectional,
    dense,
    dropout,
    embedding,
    network,
    recurrent,
    residual,
    reverse,
)

Array = np.ndarray[Any, np.dtype[np.float32]]
Lengths = np.ndarray[Any, np.dtype[np.int32]]

DEEP = network(
    2,
    recurrent("gru", 4, trainable_state=True),
    residual(residual(recurrent("gru", 4, trainable_state=True)), dense(4)),
    dense(2),
)
IDS = network(
    1,
    embedding(5, 3),
    dropout(0.25),
    recurrent("lstm", 3, trainable_state=True),
    residual(LAYER_NORM, dropout(0.5)),
    dense(2),
)
WHOLE = network(
    1,
    embedding(5, 4),
    dropout(0.5),
    residual(LAYER_NORM, bidirectional("rnn", 2), dropout(0.25)),
    bidirectional("gru", 3, trainable_state=True),
    reverse("rnn", 3),
    dense(2),
)
BOTH_ENDS = network(2, recurrent("rnn", 3, trainable_state=True), bidirectional("rnn", 1, trainable_state=True))
SPECS = {"deep": DEEP, "ids": IDS, "whole": WHOLE, "both ends": BOTH_ENDS}
REGIMES: dict[str, dict[str, Any]] = {
    "whole": {},
    "ragged": {"window": 11, "skip": 2},
    "warm": {"window": 11, "warmup": 3, "skip": 2},
    "carried": {"state": "carry", "window": 9, "skip": 3},
    "carried, warm": {"state": "carry", "window": 9, "warmup": 2},
    "clipped": {"optimiser": {"type": "adam", "clip_norm": 0.1, "clip_value": 0.05}, "reduce": "sum"},
    "validated": {"window": 11, "validation": 0.2, "early_stopping": {"patience": 1}},
    "mae": {"loss": "mae", "window": 11, "skip": 2},
    "huber": {"loss": {"type": "huber", "delta": 0.3}},
    "huber, ragged": {"loss": "huber", "window": 11, "skip": 2},
    "huber, carried": {"loss": "huber", "state": "carry", "window": 9, "skip": 3},
    "recompute": {"recompute": 7},
    "recompute, ragged": {"window": 11, "skip": 5, "recompute": 4},
    "recompute, carried": {"state": "carry", "window": 9, "skip": 3, "recompute": 2},
}
GOLDEN = {
    "deep, whole": "f5f4a7391bf496dd",
    "deep, ragged": "d0a5d10d182dea8d",
    "deep, warm": "cf856b29b9f7a0aa",
    "deep, carried": "691d58e2fcf033b5",
    "deep, carried, warm": "3fb1e61c9e6d9849",
    "deep, clipped": "1da7ddee31094abc",
    "deep, validated": "674ac634de915ffb",
    "deep, mae": "9c3b13f39314cf3d",
    "deep, huber": "4a57030d3681686c",
    "deep, huber, ragged": "febcdf4f746398c0",
    "deep, huber, carried": "6368c1fdf0ff4c2e",
    "deep, recompute": "fb75859cb6bcbc88",
    "deep, recompute, ragged": "77c06c87ae15c8a9",
    "deep, recompute, carried": "306786aa8829e0f6",
    "ids, whole": "bf05c9f49ed03dd1",
    "ids, ragged": "9a8f50a9097aece6",
    "ids, warm": "e0cdc144b1e13c9c",
    "ids, carried": "7dcc18f03cd3b492",
    "ids, carried, warm": "8ffdb03777754502",
    "ids, clipped": "2c1ec457dbacaa6e",
    "ids, validated": "2f34cbd55cbb6de9",
    "ids, mae": "5f6bc5d9bb7d38bd",
    "ids, huber": "e3c97407ac606765",
    "ids, huber, ragged": "43570dee2c02fdfd",
    "ids, huber, carried": "2d0afbff2acf3412",
    "ids, recompute": "8b9c602345283b5f",
    "ids, recompute, ragged": "c7d906fd6c995433",
    "ids, recompute, carried": "55aa8aff7223c63b",
    "whole, whole": "05d6c1594814d88a",
    "whole, ragged": "eaab1f8773a4c331",
    "whole, clipped": "8927260c5a6dbd26",
    "whole, validated": "e042d9e8d95cb548",
    "whole, mae": "2ccabae7d7d4894c",
    "whole, huber": "32f399a43d31d36c",
    "whole, huber, ragged": "df6816fb34e1bc45",
    "both ends, whole": "62706389f8fa28fb",
    "both ends, ragged": "1651506fd6220615",
    "both ends, clipped": "6c22a05fa401c78e",
    "both ends, validated": "871d6eea9ec86329",
    "both ends, mae": "d5c18f11bd6c88b2",
    "both ends, huber": "14ba2fff2d03753b",
    "both ends, huber, ragged": "3ca67277f8360909",
}
"""Of each network and regime the beginning of the sha256 of all checkpoints of a run, as training revision 2 has it.

They were written by an implementation that ran kernel by kernel and joined their results in NumPy."""


def data(ids: bool, steps: int = 40, rows: int = 5) -> Dataset:
    """Return random inputs, ids or numbers, and targets."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(2, steps, rows, 2)).astype(np.float32)
    return Dataset(rng.integers(0, 5, (steps, rows, 1)).astype(np.float32) if ids else inputs, targets)


@pytest.mark.parametrize("case", GOLDEN)
def test_all_checkpoints_of_a_run_have_the_bits_of_the_revision(case: str, cache: KernelCache) -> None:
    name, regime = case.split(", ", 1)
    compiled = CompiledNetwork(oracle.make_network(SPECS[name]), cache)
    spec = TrainingSpec.model_validate({"epochs": 3, "batch_size": 4, **REGIMES[regime]})
    digest = hashlib.sha256()
    for progress in fit(compiled, compiled.network.init(0), data(compiled.network.takes_ids), spec):
        digest.update(progress.checkpoint())
    assert digest.hexdigest().startswith(GOLDEN[case])


@pytest.mark.parametrize("regime", ["ragged", "carried", "recompute, ragged"])
def test_recordings_that_make_room_for_others_leave_the_same_bits(
    regime: str, cache: KernelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_gradient, "SHAPES_KEPT", 1)
    test_all_checkpoints_of_a_run_have_the_bits_of_the_revision(f"ids, {regime}", cache)


def test_states_that_were_yielded_do_not_change(cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(DEEP), cache)
    spec = TrainingSpec.model_validate({"epochs": 2, "state": "carry", "window": 9})
    trainer = fitting._Trainer(compiled, data(ids=False), spec)
    state = trainer.begin(compiled.network.init(0))
    for _ in range(3):
        following = trainer.advance(state)
        before = trainer.progress(following).checkpoint()
        trainer.advance(following)
        assert trainer.progress(following).checkpoint() == before
        state = following


@pytest.mark.parametrize("recompute", [None, 2])
@pytest.mark.parametrize(
    ("layers", "expected", "said"),
    [
        ([recurrent("rnn", 3, activation="relu")], StateNotFinite, "a state became"),
        ([dense(2)], OutputNotFinite, "an output became"),
    ],
    ids=["state", "output"],
)
def test_a_run_ends_where_a_number_is_not_finite(
    layers: list[Any], expected: type[Exception], said: str, recompute: int | None, cache: KernelCache
) -> None:
    compiled = CompiledNetwork(oracle.make_network(network(2, *layers)), cache)
    size = compiled.network.out_size
    inputs, targets = np.full((9, 2, 2), 1e38, np.float32), np.zeros((9, 2, size), np.float32)
    weights = {name: np.full(shape, 30, np.float32) for name, shape in compiled.network.parameters}
    spec = TrainingSpec.model_validate({"epochs": 1, "recompute": recompute})
    with pytest.raises(expected, match=f"^{said} NaN or infinite in epoch 1, batch 1 of 1"):
        next(fit(compiled, weights, Dataset(inputs, targets), spec))


# --- segments

NESTED = network(
    1,
    embedding(5, 3),
    residual(dropout(0.5), residual(recurrent("rnn", 3)), dense(3)),
    LAYER_NORM,
    recurrent("rnn", 3, trainable_state=True),
    dropout(0.5),
)
"""Everything that may be cut."""
STEPS, LENGTHS = 11, np.array([11, 1, 4, 9, 0], np.int32)
ROWS = len(LENGTHS)


def make(spec: dict[str, Any], weights: dict[str, Array] | None, steps: int | None, cache: KernelCache) -> LossGradient:
    """Return the gradient of the mean squared error, which is computed in segments of `steps` steps.

    If there are no weights, new ones are drawn.
    """
    compiled = CompiledNetwork(oracle.make_network(spec), cache)
    loss = CompiledLoss(MeanSquaredError(type="mse"), compiled.network.out_size, compiled.arithmetic)
    trainee = Trainee(compiled)
    trainee.load(joined(compiled.network, weights or compiled.network.init(0)))
    return LossGradient(compiled, trainee, loss, steps)


def learnt(
    lengths: Lengths | None, steps: int | None, skip: int, cache: KernelCache
) -> tuple[float, Array, dict[str, Array]]:
    """Return the loss, the state and the gradients of a window of NESTED, run in segments of `steps` steps."""
    built = oracle.make_network(NESTED)
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape).astype(np.float32) * np.float32(0.7) for name, shape in built.parameters}
    ids, targets = rng.integers(0, 5, (STEPS, ROWS, 1)), rng.normal(size=(STEPS - skip, ROWS, 3))
    batch = Batch(None, ids.astype(np.float32), targets.astype(np.float32), skip, lengths)
    state = np.repeat(joined_initial(built, weights), ROWS, axis=0)
    found = make(NESTED, weights, steps, cache).of(batch, state, masks_of(built), [0.5], begins=True)
    return found.losses[0], found.state, named(built, found.gradient)


def joined_initial(built: Network, weights: dict[str, Array]) -> Array:
    """Return the initial state (1, S)."""
    parts = [weights.get(f"{s.layer}.{s.name}0", np.zeros(s.size, np.float32)) for s in built.states]
    return np.concatenate(parts)[None]


def masks_of(built: Network) -> loss_gradient.DrawMasks:
    """Return what draws the masks of some steps of an update."""

    def masks(steps: slice) -> Masks:
        return draw_masks(built.layers, 3, 0, 0, steps.stop - steps.start, ROWS, first=steps.start)

    return masks


@pytest.mark.parametrize("skip", [0, 5])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("steps", [1, 4, 10, 11, 99])
def test_only_sums_of_vectors_know_the_cut(steps: int, lengths: Lengths | None, skip: int, cache: KernelCache) -> None:
    loss, state, gradients = learnt(lengths, None, skip, cache)
    cut_loss, cut_state, found = learnt(lengths, steps, skip, cache)
    assert cut_loss == loss
    assert cut_state.tobytes() == state.tobytes()
    assert found.keys() == gradients.keys()
    for name, expected in gradients.items():
        if expected.ndim == 2 or steps >= STEPS or name.endswith(".h0"):
            assert found[name].tobytes() == expected.tobytes(), name
        else:
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_same_cut_gives_the_same_bits(cache: KernelCache) -> None:
    first, again = (learnt(LENGTHS, 3, 0, cache)[2] for _ in range(2))
    assert {name: array.tobytes() for name, array in first.items()} == {n: a.tobytes() for n, a in again.items()}


@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize(("second", "kind"), [(1.0, 1), (-1e10, 2)], ids=["state", "output"])
def test_the_earliest_fault_of_the_first_row_counts(
    second: float, kind: int, steps: int | None, cache: KernelCache
) -> None:
    """The first layer's state overflows by growing, in step 4; the second one divides by what the first answers."""
    growing, dividing = ({"equations": text} for text in ("h = h * 1e10 + x", "output = 1 / x"))
    inputs = np.ones((7, 2, 1), np.float32)
    inputs[1, 0] = second
    batch = Batch(None, inputs, np.zeros((7, 2, 1), np.float32), 0, None)
    gradient = make(network(1, recurrent(growing, 1), recurrent(dividing, 1), dense(1)), None, steps, cache)
    with pytest.raises(ForwardFault) as caught:
        gradient.of(batch, np.zeros((2, 1), np.float32), lambda _: {}, [1.0], begins=False)
    assert caught.value.kind == kind
    assert caught.value.place == f"step {5 if kind == 1 else 2} of the window, row 1 of the batch"


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
    """Return the peak of the scratch memory, in bytes, over two updates with windows of `window` steps."""
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
