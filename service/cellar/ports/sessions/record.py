"""The record of a session: its name, its metadata, its position and its state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.writers import NO_WRITERS, Writers

Origin = Literal["create", "fork", "replay"]
"""How a session came about: in the initial state, with that of another session, or by running the log of one."""


class SessionKey(NamedTuple):
    """A session's name: tenant and id, which both have the form of `NAME`."""

    tenant: str
    session: str


class DeletedModel(NamedTuple):
    """What a session still knows of its model, which was deleted: enough to read its state and to leave the model."""

    in_size: int
    out_size: int
    whole_sequences: bool
    states: Sequence[tuple[int, str, int, str]]
    """Layer, name, size and the name of the cell, of each state in order."""


@dataclass(frozen=True, slots=True)
class SessionMeta:
    """What steps leave as it is."""

    model: str
    """The pinned version, `name@3`."""
    model_digest: str
    batch_size: int
    """Rows: independent sequences that step together."""
    kernel_rev: int
    ttl_s: int
    created_s: float
    incarnation: bytes
    """Its first epoch: tells it from an earlier session of the same name."""
    history: int = 0
    """How many earlier states are kept: those before the last so many changes."""
    log: int = 0
    """The most changes whose inputs are logged; 0: there is no log."""
    events: int = 0
    """The most events that are kept for watchers; 0: nobody can watch."""
    pinned: bool = False
    """Whether it never expires, whatever `ttl_s` says."""
    migrated: int = 0
    """Its revision when it last came to another model: states of an earlier one are that model's. 0: it never did."""
    deleted: DeletedModel | None = None
    """Set when its model was deleted by force: nothing but a migration changes its state from then on."""


@dataclass(slots=True)
class SessionRecord:
    """One session as stored. `state` is float32 little endian, (batch_size, state_size), row by row."""

    key: SessionKey
    meta: SessionMeta
    position: Position
    revision: int
    """How often it has been changed, by steps and otherwise."""
    state: bytes
    writers: Writers = NO_WRITERS
    """The last requests of those that number theirs."""
    packed: Any = field(default=None, init=False, compare=False, repr=False)
    """The store's own: what it knows the record by, so that it is packed once and not before each commit."""


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What a listing tells of a session: everything but its state, and how long it has to live when left alone."""

    key: SessionKey
    meta: SessionMeta
    position: Position
    left_s: float


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions a listing tells of: all, unless it says more."""

    model: str | None = None
    """A version, `name@3`, or all versions of a model, `name`."""
    prefix: str = ""
    """What their names begin with."""
    pinned: bool | None = None
    """Those that never expire, or those that may."""

    @property
    def by_name(self) -> bool:
        """Whether names alone tell which they are."""
        return self.model is None and self.pinned is None

    def fits(self, summary: SessionSummary) -> bool:
        """Return whether the session is one of them."""
        meta = summary.meta
        if self.model not in (None, meta.model, meta.model.partition("@")[0]):
            return False
        return self.pinned in (None, meta.pinned) and summary.key.session.startswith(self.prefix)


EVERY_SESSION = SessionFilter()
