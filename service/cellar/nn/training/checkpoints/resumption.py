"""Continues the end of a run in another one: its weights, the state of its optimiser, and the place of its schedule.

Epochs are counted on, so that the order of batches, the masks of dropout and the schedule continue, too. N epochs that
continue N epochs have the same bits as 2 N epochs of one run if the schedule does not depend on their number.
"""

from dataclasses import dataclass, replace

import numpy as np

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.nn.model.network import Network
from cellar.nn.training.checkpoints import checkpoint as checkpoints
from cellar.nn.training.checkpoints.checkpoint import RunState
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.update.trained_parameters import TrainedParameters

RUN = "continued"
"""In the place of the digest of a run: the state is the begin of one."""

POINTER = "/resume_from"


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a run, or its newest checkpoint."""

    network: Network
    spec: TrainingSpec
    state: bytes
    """Its checkpoint."""
    epochs: int
    """The finished epochs of the runs that it continued itself."""
    updates: int
    """The batches of those runs."""
    updates_per_epoch: int


@dataclass(frozen=True, slots=True)
class Begin:
    """The begin of a run that continues another one."""

    state: bytes
    epochs: int
    """The finished epochs of all runs before."""
    updates: int
    """The batches of all runs before."""


def continued(ended: Ended, network: Network, spec: TrainingSpec) -> Begin:
    """Return the begin of a run with these settings, on a network of the same form.

    Raise InvalidInput if network or optimiser are others, or if parameters are trained that were frozen, and what
    `checkpoint.check_revision` raises.
    """
    _check_same(ended, network, spec)
    before = checkpoints.read(ended.state)
    done = ended.updates + (before.epoch - ended.epochs) * ended.updates_per_epoch + before.update
    optimiser = replace(before.optimiser, slots=_moved(before.optimiser.slots, ended, network, spec))
    averaged = None if spec.average is None else before.averaged
    state = RunState(before.weights, optimiser, epoch=before.epoch, averaged=averaged, watched=before.watched)
    return Begin(checkpoints.dump(state, RUN), before.epoch, done)


def state_of(begin: Begin) -> RunState:
    """Return the state with which a run begins."""
    return checkpoints.load(begin.state, RUN)


def _check_same(ended: Ended, network: Network, spec: TrainingSpec) -> None:
    if ended.network.digest != network.digest:
        raise InvalidInput(
            "the job has trained another network: resume it with a version of the same network, or send a job without"
            " resume_from, which begins with the weights of the version alone",
            pointer=POINTER,
            expected="a job that has trained the network of the model",
            actual="a job with other layers or sizes",
        )
    if ended.spec.optimiser.type != spec.optimiser.type:
        raise InvalidInput(
            "the job had another optimiser, whose state this one cannot read: send the same one, perhaps with another"
            " learning_rate or schedule",
            pointer="/optimiser/type",
            expected=ended.spec.optimiser.type,
            actual=spec.optimiser.type,
        )


def _moved(slots: Floats, ended: Ended, network: Network, spec: TrainingSpec) -> Floats:
    """Return the states of an optimiser in the order that other frozen parameters and groups have."""
    before, now = TrainedParameters(ended.network, ended.spec), TrainedParameters(network, spec)
    new = sorted(before.frozen - now.frozen)
    if not slots.size:
        return slots
    if new:
        raise InvalidInput(
            f"the job has not trained {new[0]}, so its optimiser has no state for it: freeze what it has frozen",
            pointer="/freeze",
            expected=f"{', '.join(new)} among the frozen parameters",
        )
    count = slots.size // before.count
    by_weight = np.concatenate([part.reshape(count, -1) for part in _split(slots[0], before, count)], axis=1)
    whole = np.zeros((count, network.parameter_count), np.float32)
    for row, values in zip(whole, by_weight, strict=True):
        row[:] = before.replaced(row, values)
    kept = [now.of(row) for row in whole]
    ends = np.cumsum([size for size, _ in now.groups])[:-1]
    groups = zip(*(np.split(row, ends) for row in kept), strict=True)
    return np.concatenate([part for group in groups for part in group])[None]


def _split(slots: Floats, trained: TrainedParameters, count: int) -> list[Floats]:
    """Return the states of each group."""
    return np.split(slots, np.cumsum([count * size for size, _ in trained.groups])[:-1])
