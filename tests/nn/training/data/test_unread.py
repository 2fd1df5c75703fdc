"""Lengths of rows and weights of targets: what they say, and what they may not say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.data.alignment import split
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import evaluate, fit
from tests.nn.golden.cases import dense, network, recurrent
from tests.nn.oracle import make_network

LENGTHS = np.array([40, 9, 23, 31], np.int32)
REGIMES: dict[str, dict[str, Any]] = {
    "rows": {},
    "rows held out": {"validation": 0.3},
    "windows": {"window": 7, "skip": 2, "warmup": 1},
    "windows held out": {"window": 7, "skip": 2, "validation": 0.3, "reduce": "sum"},
    "carried": {"state": "carry", "window": 6, "warmup": 2, "skip": 1, "batch_size": 2},
    "carried, held out": {"state": "carry", "window": 6, "validation": 0.3},
}


@pytest.fixture(scope="module")
def compiled(cache: KernelCache) -> CompiledNetwork:
    """Return a small network."""
    return CompiledNetwork(make_network(network(1, recurrent("gru", 4, trainable_state=True), dense(1))), cache)


def ragged() -> Dataset:
    """Return waves of different lengths with NaN after their ends, whose next values are the targets."""
    values = np.sin(np.arange(41)[:, None, None] * 0.4 + np.arange(4)[:, None]).astype(np.float32)
    inputs, targets = values[:-1].copy(), values[1:].copy()
    for array in (inputs, targets):
        array[np.arange(40)[:, None] >= LENGTHS] = np.nan
    return Dataset(inputs, targets, None, LENGTHS)


def run(compiled: CompiledNetwork, data: Dataset, **fields: Any) -> tuple[Any, ...]:
    """Return weights as bytes, history and evaluation of a run, which is the same in parts and from a checkpoint."""
    spec = TrainingSpec.model_validate({"epochs": 2, "optimiser": {"type": "adam", "learning_rate": 0.01}, **fields})
    begin = compiled.network.init(0)
    whole = list(fit(compiled, begin, data, spec))
    *_, divided = fit(compiled, begin, data, spec, window_bytes=1)
    *_, resumed = fit(compiled, begin, data, spec, checkpoint=whole[len(whole) // 2].checkpoint())
    assert whole[-1].checkpoint() == divided.checkpoint() == resumed.checkpoint()
    weights = whole[-1].weights()
    joined = np.concatenate([each.reshape(-1) for each in weights.values()])
    return joined, whole[-1].history, evaluate(compiled, begin, weights, data, spec)


@pytest.mark.parametrize("name", REGIMES)
def test_the_end_of_a_row_is_the_end_of_what_counts(name: str, compiled: CompiledNetwork) -> None:
    """Weights of 0 after the end say the same, except that windows without a target are run, too."""
    data, fields = ragged(), REGIMES[name]
    weights, history, evaluation = run(compiled, data, **fields)
    one = np.float32(1) * (np.arange(40)[:, None] < LENGTHS)
    masked = replace(data, inputs=np.nan_to_num(data.inputs), weights=one)
    same = run(compiled, masked, **fields)
    assert np.array_equal(weights, same[0])
    assert history == same[1]
    assert evaluation == same[2]
    assert evaluation.last_value is not None
    if "held out" in name or fields.get("state") == "carry" or not fields:
        return
    others = run(compiled, replace(masked, lengths=None), **{**fields, "batch_size": 1, "epochs": 1})
    alone = run(compiled, data, **{**fields, "batch_size": 1, "epochs": 1})
    assert alone[1][0].loss == pytest.approx(others[1][0].loss, rel=0.1)


def test_a_row_is_trained_as_if_it_were_alone(compiled: CompiledNetwork) -> None:
    """Three of four rows have weight 0."""
    data = ragged()
    weights = np.zeros((40, 4), np.float32)
    weights[:, 2] = 0.5
    found = run(compiled, replace(data, weights=weights), optimiser={"type": "sgd", "learning_rate": 0.1})
    alone = Dataset(data.inputs[:23, 2:3], data.targets[:23, 2:3])
    expected = run(compiled, alone, optimiser={"type": "sgd", "learning_rate": 0.1})
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-7)
    assert found[2].loss == pytest.approx(expected[2].loss, rel=1e-6)
    assert found[2].last_value == pytest.approx(expected[2].last_value, rel=1e-6)


def test_the_loss_is_the_weighted_mean(compiled: CompiledNetwork) -> None:
    """A step of weight 3 counts as three steps of weight 1, also for the sum over a window."""
    data = ragged()
    full = Dataset(data.inputs[:9], data.targets[:9], None, None, np.array([[1, 3, 1, 2]] * 9, np.float32))
    rows = [0, 1, 1, 1, 2, 3, 3]
    repeated = Dataset(data.inputs[:9][:, rows], data.targets[:9][:, rows])
    for reduce, rate in (("mean", 0.1), ("sum", 0.1)):
        weighted = run(compiled, full, reduce=reduce, optimiser={"type": "sgd", "learning_rate": rate})
        scaled = rate if reduce == "mean" else rate * 7 / 4  # the mean over rows is over 7 of them
        expected = run(compiled, repeated, reduce=reduce, optimiser={"type": "sgd", "learning_rate": scaled})
        np.testing.assert_allclose(weighted[0], expected[0], rtol=1e-5, atol=1e-6)
        assert weighted[1][-1].loss == pytest.approx(expected[1][-1].loss, rel=1e-5)


def test_a_batch_without_weight_changes_nothing(compiled: CompiledNetwork) -> None:
    """Not even by weight decay. The state is carried through it."""
    data = ragged()
    weights = np.ones((9, 4), np.float32)
    weights[3:6] = 0
    masked = Dataset(data.inputs[:9], data.targets[:9], None, None, weights)
    spec = TrainingSpec.model_validate({"state": "carry", "window": 3, "optimiser": "adamw", "epochs": 1})
    first, second, third = fit(compiled, compiled.network.init(0), masked, spec)
    assert all(np.array_equal(a, b) for a, b in zip(first.weights().values(), second.weights().values(), strict=True))
    assert not np.array_equal(second.weights()["1.W"], third.weights()["1.W"])


@pytest.mark.parametrize(
    ("faulty", "error", "pointer", "detail"),
    [
        ({"lengths": np.array([40, 0, 3, 4], np.int32)}, InvalidInput, "/data/lengths/1", "row 1, from 0, .* 0 steps"),
        ({"lengths": np.array([41, 9, 3, 4], np.int32)}, InvalidInput, "/data/lengths/0", "41 steps"),
        ({"lengths": np.array([40, 9, 3], np.int32)}, ShapeMismatch, "/data/lengths", "each of 4 rows"),
        ({"weights": np.ones((40, 3), np.float32)}, ShapeMismatch, "/data/weights", "each step and row"),
        ({"weights": np.full((40, 4), -1, np.float32)}, InvalidInput, "/data/weights", "step 0, row 0"),
        ({"weights": np.full((40, 4), np.inf, np.float32)}, NotFinite, "/data/weights", "not finite"),
        ({"weights": np.zeros((40, 4), np.float32)}, InvalidInput, "/data/weights", "no target counts"),
        ({"lengths": None}, NotFinite, "/data/inputs", "not finite"),
    ],
)
def test_faults_have_a_place(faulty: dict[str, Any], error: type[Exception], pointer: str, detail: str) -> None:
    with pytest.raises(error, match=detail) as caught:
        split(replace(ragged(), **faulty), 1, 1, TrainingSpec())
    assert caught.value.pointer == pointer  # type: ignore[attr-defined]  # the object has it


def test_targets_that_do_not_count_may_be_anything() -> None:
    targets = np.array([7, 1, -1, 0], np.float32)[:, None, None]
    data = Dataset(np.zeros((4, 1, 1), np.float32), targets, None, np.array([3], np.int32))
    spec = TrainingSpec.model_validate({"loss": "cross_entropy"})
    with pytest.raises(InvalidInput, match="step 0, row 0"):
        split(data, 2, 1, spec)
    weights = np.array([[0], [1], [0], [1]], np.float32)
    plan, _ = split(replace(data, weights=weights), 2, 1, spec)
    assert plan.targets[:, 0].tolist() == [[1, 0], [0, 1], [1, 0], [1, 0]]
    assert plan.weights is not None
    assert plan.weights[:, 0, 0].tolist() == [0, 1, 0, 0]
