"""The placeholder for a deleted model: it has the sizes that the session has stored, and cannot be run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from cellar.errors import ModelDeleted
from cellar.ports import DeletedModel, Floats, ModelVersion, SessionMeta
from cellar.sessions.values.model_protocol import Sizes, StatePlace

LEARNT = frozenset({"rls", "bptt"})
"""The cells of states that hold what a session has learnt."""


@dataclass(frozen=True, slots=True)
class Place:
    """One named state of one layer; implements `model_protocol.StatePlace`."""

    layer: int
    name: str
    size: int
    offset: int
    cell: str


@dataclass(frozen=True, slots=True)
class DeletedSizes:
    """The sizes of a deleted network; implements `model_protocol.Sizes`."""

    in_size: int
    out_size: int
    whole_sequences: bool
    states: Sequence[StatePlace]
    row_numbers: int = 1
    takes_ids: bool = False
    bits_promised: bool = False
    row_reader: None = None

    @property
    def state_size(self) -> int:
        """Return the floats of the state of a row."""
        return sum(place.size for place in self.states)

    def check_inputs(self, inputs: Floats) -> None:
        """Accept all inputs, because nothing is run."""

    def check_states(self, states: Floats, pointer: str = "") -> None:
        """Accept all states, because nothing is run."""


class DeletedNetwork:
    """A deleted network; implements `model_protocol.Network`. Methods that would run it raise ModelDeleted."""

    flops = 0
    code = None

    def __init__(self, meta: SessionMeta) -> None:
        assert meta.deleted is not None
        self._ref = meta.model
        deleted = meta.deleted
        self.network: Sizes = DeletedSizes(deleted.in_size, deleted.out_size, deleted.whole_sequences, _places(meta))

    def refuse(self, *_: object, **__: object) -> NoReturn:
        """Raise ModelDeleted."""
        raise model_deleted(self._ref)

    initial_state = run = advance = rows = refuse


@dataclass(frozen=True, slots=True)
class GoneModel:
    """A deleted version; implements `model_protocol.Model`."""

    version: ModelVersion
    network: DeletedNetwork
    size_bytes: int = 0
    shared: None = None
    scorer: None = None

    @classmethod
    def of(cls, tenant: str, meta: SessionMeta) -> "GoneModel":
        """Return the deleted model of a session."""
        name, _, number = meta.model.partition("@")
        version = ModelVersion(tenant, name, int(number), meta.model_digest, {}, "", 0.0)
        return cls(version, DeletedNetwork(meta))


def known_of(sizes: Sizes) -> DeletedModel:
    """Return the sizes of a network that its sessions must store when it is deleted.

    What a session learns is in its metadata already.
    """
    states = tuple((at.layer, at.name, at.size, at.cell) for at in sizes.states if at.cell not in LEARNT)
    return DeletedModel(sizes.in_size, sizes.out_size, sizes.whole_sequences, states)


def model_deleted(ref: str) -> ModelDeleted:
    """Return the error for a session whose model was deleted."""
    return ModelDeleted(f"the model {ref} of the session was deleted: read the state, or migrate it to another model")


def state_not_stored(ref: str) -> ModelDeleted:
    """Return the error for a session whose present state cannot be computed, because its model was deleted."""
    return ModelDeleted(
        f"the model {ref} was deleted, and of the last steps of the session inputs are stored in place of the state"
        " (CELLAR_STATE_EVERY): migrate it to another model, which runs these steps again"
    )


def _places(meta: SessionMeta) -> tuple[StatePlace, ...]:
    """Return the states of a session whose model was deleted, with what it has learnt."""
    assert meta.deleted is not None
    places: list[StatePlace] = []
    offset = 0
    for layer, name, size, cell in meta.deleted.states:
        places.append(Place(layer, name, size, offset, cell))
        offset += size
    learning: dict[str, Any] = orjson.loads(meta.learning) if meta.learning else {}
    for name, size in learning.get("states", ()):
        places.append(Place(learning["layer"], name, size, offset, learning["spec"]["type"]))
        offset += size
    return tuple(places)
