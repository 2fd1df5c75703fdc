"""Batches in shards: the same bits for every number of processes, and through checkpoints."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import OutputNotFinite, StateNotFinite
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.checkpoints.progress import Progress
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.shards.team import SHARDS, Memory, shards_of
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import _Trainer, fit
from cellar.wire.arrays.weights import dump
from tests.nn import oracle
from tests.nn.golden.cases import dense, dropout, network, recurrent

NETWORK = network(1, recurrent("gru", 4, trainable_state=True), dropout(0.3), dense(1))
REGIMES: dict[str, dict[str, Any]] = {
    "reset": {"window": 12, "batch_size": 16},
    "carry": {"state": "carry", "window": 7, "batch_size": 10, "warmup": 3, "validation": 0.2},
    "clipped": {
        "window": 9,
        "skip": 2,
        "batch_size": 5,
        "accumulate": 2,
        "optimiser": {"type": "adam", "clip_norm": 1},
    },
    "segments": {"window": 24, "batch_size": 12, "recompute": 5, "reduce": "sum"},
}


class Colleague:
    """A helper that is called where a real one waits."""

    def __init__(self, shards: Sequence[int], memory: Memory) -> None:
        self.shards = shards
        self._memory = memory

    def memory(self, size: int) -> Memory:
        """Return the memory of the team."""
        assert len(self._memory) == size
        return self._memory

    def asked(self) -> Iterator[tuple[int, int]]:
        """Yield nothing."""
        yield from ()


class Together:
    """A team whose processes are trainers of this one, which compute one after the other."""

    def __init__(self, count: int, make: Any) -> None:
        self.shards = shards_of(0, count)
        self._count, self._make = count, make
        self._others: list[_Trainer] = []

    def memory(self, size: int) -> Memory:
        """Make the memory, and the others."""
        memory = bytearray(size)
        self._others = [self._make(Colleague(shards_of(at, self._count), memory)) for at in range(1, self._count)]
        return memory

    def begin(self, epoch: int, update: int) -> None:
        """Compute the shards of the others."""
        for other in self._others:
            assert other.sharded is not None
            assert other.team is not None
            other.sharded.compute(epoch, update, other.team.shards)

    def finish(self) -> None:
        """Do nothing: they have finished."""


@pytest.fixture(scope="module")
def compiled(cache: KernelCache) -> CompiledNetwork:
    """Return a small network with dropout."""
    return CompiledNetwork(oracle.make_network(NETWORK), cache)


def ragged(rows: int = 11) -> Dataset:
    """Return waves of different lengths, whose steps count differently."""
    values = np.sin(np.arange(41)[:, None, None] * 0.4 + np.arange(rows)[None, :, None]).astype(np.float32)
    weights = np.random.default_rng(1).uniform(0, 2, (40, rows)).astype(np.float32)
    return Dataset(values[:-1], values[1:], None, np.arange(30, 30 + rows).astype(np.int32), weights)


def run(
    compiled: CompiledNetwork, fields: dict[str, Any], processes: int | None, checkpoint: bytes | None = None
) -> list[Progress]:
    """Return all progress of a run by that many processes; None: without shards."""
    spec, data = TrainingSpec.model_validate({"epochs": 2, **fields}), ragged()
    team = None
    if processes is not None:
        team = Together(processes, lambda helper: _Trainer(compiled, data, spec, team=helper))
    return list(fit(compiled, compiled.network.init(0), data, spec, checkpoint=checkpoint, team=team))


@pytest.mark.parametrize("regime", REGIMES)
def test_the_bits_do_not_depend_on_the_number_of_processes(compiled: CompiledNetwork, regime: str) -> None:
    alone = run(compiled, REGIMES[regime], 1)
    for processes in (2, 3, SHARDS):
        together = run(compiled, REGIMES[regime], processes)
        assert dump(together[-1].weights()) == dump(alone[-1].weights())
        assert together[-1].history == alone[-1].history
    half = run(compiled, REGIMES[regime], 2)[len(alone) // 2]
    resumed = run(compiled, REGIMES[regime], 3, half.checkpoint())
    assert dump(resumed[-1].weights()) == dump(alone[-1].weights())


def test_shards_learn_as_whole_batches(cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(network(1, recurrent("gru", 4), dense(1))), cache)
    whole, shards = (run(compiled, REGIMES["reset"], processes)[-1] for processes in (None, 2))
    assert [record.loss for record in shards.history] == pytest.approx([record.loss for record in whole.history])
    for name, weights in whole.weights().items():
        np.testing.assert_allclose(shards.weights()[name], weights, atol=1e-5)


def test_a_diverging_run_names_the_row_of_the_batch(compiled: CompiledNetwork) -> None:
    fields = {"window": 12, "batch_size": 16, "optimiser": {"type": "sgd", "learning_rate": 1e6}, "epochs": 9}
    errors = []
    for processes in (1, 3):
        with pytest.raises((StateNotFinite, OutputNotFinite)) as error:
            run(compiled, fields, processes)
        errors.append(str(error.value))
    assert errors[0] == errors[1]
