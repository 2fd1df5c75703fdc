"""Recorded updates against the kernels one by one: the same bits in all that a run leaves, whatever the regime."""

from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import OutputNotFinite, StateNotFinite
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training import trainer as fitting
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.update.recorded_update import can_record
from tests.nn import oracle
from tests.nn.golden.cases import bidirectional, dense, dropout, embedding, network, recurrent, residual

DEEP = network(
    2,
    recurrent("gru", 4, trainable_state=True),
    residual(residual(recurrent("gru", 4, trainable_state=True)), dense(4)),
    dense(2),
)
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
}


def data(steps: int = 40, rows: int = 5) -> Dataset:
    """Return random inputs and targets."""
    inputs, targets = np.random.default_rng(0).normal(size=(2, steps, rows, 2)).astype(np.float32)
    return Dataset(inputs, targets)


def left(cache: KernelCache, fields: dict[str, Any]) -> list[bytes]:
    """Return the checkpoints after all updates of a run."""
    compiled = CompiledNetwork(oracle.make_network(DEEP), cache)
    spec = TrainingSpec.model_validate({"epochs": 3, "batch_size": 4, **fields})
    return [progress.checkpoint() for progress in fitting.fit(compiled, compiled.network.init(0), data(), spec)]


@pytest.mark.parametrize("regime", REGIMES)
def test_the_same_bits_as_kernel_by_kernel(regime: str, cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.delattr(fitting._Trainer, "_learn")
        recorded = left(cache, REGIMES[regime])
    monkeypatch.setattr(fitting, "can_record", lambda _: False)
    assert recorded == left(cache, REGIMES[regime])


def test_states_that_were_yielded_do_not_change(cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(DEEP), cache)
    spec = TrainingSpec.model_validate({"epochs": 2, "state": "carry", "window": 9})
    trainer = fitting._Trainer(compiled, data(), spec)
    state = trainer.begin(compiled.network.init(0))
    for _ in range(3):
        following = trainer.advance(state)
        before = trainer.progress(following).checkpoint()
        trainer.advance(following)
        assert trainer.progress(following).checkpoint() == before
        state = following


@pytest.mark.parametrize("layers", [[recurrent("rnn", 3, activation="relu")], [dense(2)]], ids=["state", "output"])
def test_faults_are_those_of_kernel_by_kernel(
    layers: list[Any], cache: KernelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = CompiledNetwork(oracle.make_network(network(2, *layers)), cache)
    size = compiled.network.out_size
    inputs, targets = np.full((9, 2, 2), 1e38, np.float32), np.zeros((9, 2, size), np.float32)
    weights = {name: np.full(shape, 30, np.float32) for name, shape in compiled.network.parameters}
    spec = TrainingSpec.model_validate({"epochs": 1})
    errors = []
    for recorded in (True, False):
        monkeypatch.setattr(fitting, "can_record", lambda _, recorded=recorded: recorded)
        with pytest.raises((StateNotFinite, OutputNotFinite)) as caught:
            next(fitting.fit(compiled, weights, Dataset(inputs, targets), spec))
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([recurrent("rnn", 3), dense(1)], True),
        ([recurrent("rnn", 3), dropout(0.0), dense(1)], False),
        ([bidirectional("rnn", 3)], False),
        ([embedding(5, 3), recurrent("rnn", 3)], False),
    ],
)
def test_what_can_be_recorded(layers: list[Any], expected: bool) -> None:
    assert can_record(oracle.make_network(network(1, *layers))) is expected
