"""Writes and reads checkpoints: the state of a run as a safetensors file. Equal states give equal bytes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from cellar.engine import KERNEL_REV, TRAINING_REV, Floats
from cellar.errors import InvalidInput, KernelRevisionMismatch, StoreCorrupt
from cellar.nn.model.network import Network
from cellar.nn.training.checkpoints.progress import EpochRecord
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.optimiser import OptimiserState
from cellar.nn.training.schedule import Watched
from cellar.nn.training.spec import TrainingSpec

_NOTE = "note"

LATER = ("averaged", "gathered")
"""Arrays of a state that only runs with certain settings have."""

HISTORY_EPOCHS = 1000
"""The most finished epochs in a checkpoint, as many as a job shows. Each takes about 100 bytes."""


@dataclass(frozen=True, slots=True)
class Best:
    """The state of early stopping: the weights of the lowest watched loss, their epoch, and the epochs since."""

    weights: Floats
    record: EpochRecord
    waited: int
    """Epochs since the last one that improved by `min_delta`."""
    reference: float
    """The watched loss of that epoch. The loss must be lower than this by `min_delta` to count as an improvement."""


class RunState(NamedTuple):
    """Everything that determines the rest of a run. It is a value between updates; the order of batches follows from
    the seed and the epoch, so that it needs no place here. Each update makes a new one, a tuple in a third of the time
    that a frozen dataclass takes.
    """

    weights: Floats
    """(n,) all parameters in the network's order."""
    optimiser: OptimiserState
    epoch: int = 0
    """The number of finished epochs."""
    update: int = 0
    """The number of finished updates of the present epoch."""
    carried: Floats | None = None
    """(B, state_size): the states of the present rows, if states are carried between windows."""
    sums: tuple[float, ...] = ()
    """For each part of the objective the sum of its losses of the present epoch; empty at its begin."""
    counts: tuple[float, ...] = ()
    """For each part the number of these losses, or the sum of their weights."""
    history: tuple[EpochRecord, ...] = ()
    """The newest HISTORY_EPOCHS finished epochs."""
    best: Best | None = None
    finished: bool = False
    watched: Watched | None = None
    """The state of a schedule that depends on losses."""
    averaged: Floats | None = None
    """(n,) the moving average of the weights, if there is one."""
    gathered: Floats | None = None
    """The sum of gradients since the last update of the weights, if several batches are accumulated."""
    batches: int = 0
    """The number of these gradients."""

    @property
    def result(self) -> Floats:
        """Return the weights that would be the result: their average, if there is one."""
        return self.weights if self.averaged is None else self.averaged


def identify(network: Network, data: Dataset, spec: TrainingSpec, begin: bytes | None = None) -> str:
    """Return a digest that identifies a run: its network, data and settings, and the state with which it begins.

    `begin` is None for a run that begins with the weights of a version.
    """
    digest = hashlib.sha256(f"{network.digest} {spec.model_dump_json()}".encode())
    for name, array in data.arrays:
        # Earlier versions had arrays of four kinds, which are not named.
        kind = name if name.endswith(("lengths", "weights")) else ""
        digest.update(f"{kind} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array, dtype="<f4").reshape(-1).data)
    if begin is not None:
        digest.update(hashlib.sha256(begin).digest())
    return digest.hexdigest()


def dump(state: RunState, run: str) -> bytes:
    """Return the bytes of a state. `run` identifies the run: its network, data and settings."""
    arrays = {"weights": state.weights, "slots": state.optimiser.slots}
    if state.carried is not None:
        arrays["carried"] = state.carried
    if state.best is not None:
        arrays["best"] = state.best.weights
    arrays |= {name: array for name in LATER if (array := getattr(state, name)) is not None}
    note = json.dumps(_note(state, run), allow_nan=False).encode()
    tensors: dict[str, NDArray[Any]] = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(save_tensors(tensors | {_NOTE: np.frombuffer(note, dtype=np.uint8)}))


def load(data: bytes, run: str) -> RunState:
    """Return the state that `dump` wrote.

    Raise InvalidInput for the checkpoint of another run, and what `check_revision` raises.
    """
    tensors, note = _read(data)
    if note["run"] != run:
        raise InvalidInput("the checkpoint belongs to another run: network, data or settings differ")
    return _state(tensors, note)


def read(data: bytes) -> RunState:
    """Return the state of a checkpoint of any run. Raise as `check_revision`."""
    return _state(*_read(data))


def check_revision(data: bytes) -> None:
    """Raise StoreCorrupt for bytes that are not a checkpoint, and KernelRevisionMismatch for another revision.

    Continuing a checkpoint of another revision would give weights that no single revision gives.
    """
    _read(data)


def _read(data: bytes) -> tuple[Mapping[str, Floats], Mapping[str, Any]]:
    """Return the arrays and the note of a checkpoint. Raise as `check_revision`."""
    try:
        tensors = load_tensors(data)
        note = json.loads(tensors[_NOTE].tobytes())
        # Older checkpoints have no training revision, because training had none then: they are of revision 1.
        found = note["kernel_rev"], note.get("training_rev", 1)
        note["run"]
    except (SafetensorError, AttributeError, KeyError, ValueError, TypeError) as error:
        raise StoreCorrupt(f"unreadable checkpoint: {error}") from error
    if found != (KERNEL_REV, TRAINING_REV):
        raise KernelRevisionMismatch(
            f"the checkpoint has kernel revision {found[0]} and training revision {found[1]};"
            f" this service computes with {KERNEL_REV} and {TRAINING_REV}"
        )
    return tensors, note


def _note(state: RunState, run: str) -> dict[str, Any]:
    best = state.best
    kept = None if best is None else {"record": asdict(best.record), "waited": best.waited, "reference": best.reference}
    return {
        "run": run,
        "kernel_rev": KERNEL_REV,
        "training_rev": TRAINING_REV,
        "epoch": state.epoch,
        "update": state.update,
        "power1": state.optimiser.power1,
        "power2": state.optimiser.power2,
        "loss_sum": _single(state.sums, 0.0),
        "scored": _single(state.counts, 0),
        "history": [asdict(record) for record in state.history],
        "best": kept,
        "finished": state.finished,
        **({} if state.watched is None else {"watched": asdict(state.watched)}),
        **({"batches": state.batches} if state.batches else {}),
    }


def _state(tensors: Mapping[str, Floats], note: Mapping[str, Any]) -> RunState:
    return RunState(
        weights=tensors["weights"],
        optimiser=OptimiserState(tensors["slots"], note["power1"], note["power2"]),
        epoch=note["epoch"],
        update=note["update"],
        carried=tensors.get("carried"),
        sums=_several(note["loss_sum"], note["scored"]),
        counts=_several(note["scored"], note["scored"]),
        history=tuple(EpochRecord(**record) for record in note["history"]),
        best=None if note["best"] is None else _best(tensors["best"], note["best"]),
        finished=note["finished"],
        watched=Watched(**note["watched"]) if "watched" in note else None,
        batches=note.get("batches", 0),
        **{name: tensors.get(name) for name in LATER},
    )


def _single(numbers: tuple[float, ...], none: float) -> float | list[float]:
    """Return the number of the only part, or a list; `none` at the begin of an epoch."""
    return [*numbers] if len(numbers) > 1 else numbers[0] if numbers else none


def _several(numbers: float | list[float], counts: float | list[float]) -> tuple[float, ...]:
    """Return the numbers that `_single` was given. At the begin of an epoch there are none."""
    if isinstance(numbers, list):
        return tuple(numbers)
    return (numbers,) if counts else ()


def _best(weights: Floats, note: Mapping[str, Any]) -> Best:
    record = EpochRecord(**note["record"])
    # Older checkpoints have no reference, because the best epoch was then the last one that improved by min_delta.
    return Best(weights, record, note["waited"], note.get("reference", record.watched))


def gathered(state: RunState, gradient: Floats) -> Floats:
    """Return the sum of a gradient and those since the last update of the weights."""
    return gradient.copy() if state.gathered is None else state.gathered + gradient


def added(before: tuple[float, ...], more: Sequence[float]) -> tuple[float, ...]:
    """Return sums of pairs; there is nothing before at the begin of an epoch."""
    return tuple([a + b for a, b in zip(before, more, strict=True)]) if before else tuple(more)


def kept(state: RunState) -> EpochRecord | None:
    """Return the epoch of the best weights, or the newest one without early stopping."""
    if state.best is not None:
        return state.best.record
    return state.history[-1] if state.history else None


def best_after(state: RunState, record: EpochRecord, spec: TrainingSpec) -> Best | None:
    """Return the best weights after an epoch, by plain comparison; patience is counted with `min_delta`."""
    stopping, best, watched = spec.early_stopping, state.best, record.watched
    if stopping is None:
        return None
    if best is None:
        return Best(state.result, record, 0, watched)
    if watched < best.reference - stopping.min_delta:
        best = replace(best, waited=0, reference=watched)
    else:
        best = replace(best, waited=best.waited + 1)
    return replace(best, weights=state.result, record=record) if watched < best.record.watched else best
