"""Runs that continue other runs."""

from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.spec.kinds import types_of
from cellar.nn.training.checkpoints.progress import Progress
from cellar.nn.training.checkpoints.resumption import Begin, Ended, continued
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.optimisers import OPTIMISERS
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from tests.nn.golden.cases import dense, dropout, network, recurrent
from tests.nn.oracle import make_network
from tests.nn.training.test_trainer import wave

TYPES = [name for kind in OPTIMISERS for name in types_of(kind)]

STEP = {"type": "step", "every": 3, "factor": 0.5}


@pytest.fixture(scope="module")
def compiled(cache: KernelCache) -> CompiledNetwork:
    """Return a small network."""
    return CompiledNetwork(make_network(network(1, recurrent("gru", 4), dropout(0.2), dense(2))), cache)


def spec_of(**fields: Any) -> TrainingSpec:
    """Return settings of runs of two epochs."""
    return TrainingSpec.model_validate({"epochs": 2, "batch_size": 2, "seed": 3, **fields})


def run(compiled: CompiledNetwork, spec: TrainingSpec, begin: Begin | None = None, steps: int = 12) -> list[Progress]:
    """Return all progress of a run."""
    return list(fit(compiled, compiled.network.init(0), data(steps, 6), spec, begin=begin))


def data(steps: int, rows: int) -> Dataset:
    """Return waves with two targets."""
    one = wave(steps, rows)
    return Dataset(one.inputs, np.concatenate([one.targets, -one.inputs], axis=2))


def end_of(compiled: CompiledNetwork, spec: TrainingSpec, last: Progress, before: Begin | None = None) -> Ended:
    """Return the end of a run."""
    epochs, updates = (0, 0) if before is None else (before.epochs, before.updates)
    return Ended(compiled.network, spec, last.checkpoint(), epochs, updates, last.updates)


def bits(progress: Progress) -> dict[str, bytes]:
    """Return the bits of all weights."""
    return {name: value.tobytes() for name, value in progress.weights().items()}


REGIMES: dict[str, dict[str, Any]] = {
    **{name: {"optimiser": {"type": name, "learning_rate": 0.02, "schedule": STEP}} for name in TYPES},
    "warmup": {"optimiser": {"type": "adam", "warmup_updates": 10}},
    "plateau": {"optimiser": {"type": "adam", "schedule": {"type": "plateau", "patience": 1, "min_delta": 1.0}}},
    "average": {"average": {"type": "ema", "decay": 0.9}, "accumulate": 2},
    "rates": {"learning_rates": {"0": 0.5, "2.b": 2.0}, "freeze": ["0.Wh_r"]},
    "carry": {"state": "carry", "window": 5},
}


@pytest.mark.parametrize("name", REGIMES)
def test_two_runs_and_a_third_are_one_run_of_all_epochs(compiled: CompiledNetwork, name: str) -> None:
    spec = spec_of(**REGIMES[name])
    *_, whole = run(compiled, spec.model_copy(update={"epochs": 6}))
    *_, first = run(compiled, spec)
    begin = continued(end_of(compiled, spec, first), compiled.network, spec)
    *_, second = run(compiled, spec, begin)
    third = continued(end_of(compiled, spec, second, begin), compiled.network, spec)
    told = run(compiled, spec, third)
    assert bits(told[-1]) == bits(whole)
    assert bits(first) != bits(second) != bits(whole)
    assert [record.epoch for record in told[-1].history] == [5, 6] == [told[0].epoch, told[-1].epochs]
    assert told[-1].history == whole.history[4:]
    *_, again = fit(compiled, compiled.network.init(0), data(12, 6), spec, checkpoint=told[1].checkpoint(), begin=third)
    assert again.checkpoint() == told[-1].checkpoint()


def test_the_schedule_goes_on_by_updates_on_other_data(compiled: CompiledNetwork) -> None:
    spec = spec_of(optimiser={"type": "sgd", "learning_rate": 1.0, "schedule": "linear"})
    *_, first = run(compiled, spec)
    begin = continued(end_of(compiled, spec, first), compiled.network, spec)
    assert (begin.epochs, begin.updates) == (2, 6)
    *_, second = fit(compiled, compiled.network.init(0), data(9, 4), spec, begin=begin)
    assert [record.learning_rate for record in second.history] == [1 - 7 / 10, 1 - 9 / 10]


def test_an_unfinished_epoch_begins_again_with_its_weights(compiled: CompiledNetwork) -> None:
    spec = spec_of(optimiser={"type": "momentum", "learning_rate": 0.1})
    middle = run(compiled, spec)[3]  # the first of three batches of the second epoch
    begin = continued(end_of(compiled, spec, middle), compiled.network, spec)
    assert (begin.epochs, begin.updates) == (1, 4)
    told = run(compiled, spec, begin)
    assert [record.epoch for record in told[-1].history] == [2, 3]


def test_states_of_the_optimiser_keep_their_parameters_when_groups_and_frozen_ones_change(
    compiled: CompiledNetwork,
) -> None:
    """With factors of 1 groups change nothing, and what is frozen next has no part in the rest."""
    spec = spec_of(optimiser={"type": "adam", "learning_rate": 0.02})
    grouped = spec.model_copy(update={"learning_rates": {"0": 0.5, "0.Wh_z": 1.5}})
    *_, first = run(compiled, grouped)
    ended = end_of(compiled, grouped, first)
    plain, equal = (
        continued(ended, compiled.network, each)
        for each in (spec, spec.model_copy(update={"learning_rates": {"2": 1.0, "0.Wi_n": 1.0}}))
    )
    assert plain == equal
    frozen = spec.model_copy(update={"freeze": (0,)})
    *_, second = run(compiled, frozen, continued(ended, compiled.network, frozen))
    for name, value in second.weights().items():
        assert np.array_equal(value, first.weights()[name]) == name.startswith("0.")


def test_what_cannot_be_continued_is_refused(compiled: CompiledNetwork, cache: KernelCache) -> None:
    spec = spec_of(optimiser={"type": "adam"}, freeze=[0])
    *_, last = run(compiled, spec)
    ended = end_of(compiled, spec, last)
    other = make_network(network(1, recurrent("gru", 5), dense(1)))
    with pytest.raises(InvalidInput, match="another network"):
        continued(ended, other, spec)
    with pytest.raises(InvalidInput, match="another optimiser"):
        continued(ended, compiled.network, spec_of(optimiser={"type": "lion"}, freeze=[0]))
    with pytest.raises(InvalidInput, match="has not trained"):
        continued(ended, compiled.network, spec_of(optimiser={"type": "adam"}))
