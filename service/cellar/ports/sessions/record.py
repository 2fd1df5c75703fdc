"""The record of a session: its name, its metadata, its position and its state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.writers import NO_WRITERS, Writers

Origin = Literal["create", "fork", "replay"]
"""How a session was created: with the initial state, with the state of another session, or by replaying a log."""


class SessionKey(NamedTuple):
    """The name of a session: tenant and id, both of the form `NAME`."""

    tenant: str
    session: str


class DeletedModel(NamedTuple):
    """Facts about a deleted model that its sessions keep, to read their state and to migrate to another model."""

    in_size: int
    out_size: int
    whole_sequences: bool
    states: Sequence[tuple[int, str, int, str]]
    """Layer, name, size and cell of each state, in order."""


@dataclass(frozen=True, slots=True)
class SessionMeta:
    """The part of a session that steps do not change."""

    model: str
    """The pinned version, `name@3`."""
    model_digest: str
    batch_size: int
    """Number of rows: independent sequences that step together."""
    kernel_rev: int
    ttl_s: int
    created_s: float
    incarnation: bytes
    """8 random bytes, also its first epoch: tells the session from an earlier one of the same name."""
    history: int = 0
    """Number of earlier states that are kept."""
    log: int = 0
    """Most changes whose inputs are logged; 0: no log."""
    events: int = 0
    """Most events that are kept for subscribers; 0: no events."""
    pinned: bool = False
    """Whether it never expires; `ttl_s` then has no effect."""
    migrated: int = 0
    """Revision at its last migration to another model; 0: none. States kept before belong to an earlier model."""
    deleted: DeletedModel | None = None
    """Set when its model was deleted by force: from then on only a migration changes its state."""


@dataclass(slots=True)
class SessionRecord:
    """One session as stored. `state` is float32 little endian, (batch_size, state_size), row by row."""

    key: SessionKey
    meta: SessionMeta
    position: Position
    revision: int
    """Number of changes since it was created, by steps and otherwise."""
    state: bytes
    writers: Writers = NO_WRITERS
    """The last request of each writer."""
    packed: Any = field(default=None, init=False, compare=False, repr=False)
    """Used by the store alone: parts of the packed record, so that they are packed once and not for each commit."""


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session in a listing: everything but its state, and the seconds until it expires."""

    key: SessionKey
    meta: SessionMeta
    position: Position
    left_s: float


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Selects the sessions of a listing; all of them by default."""

    model: str | None = None
    """A version, `name@3`, or all versions of a model, `name`."""
    prefix: str = ""
    """Prefix of their names."""
    pinned: bool | None = None
    """True: those that never expire. False: those that may. None: both."""

    @property
    def by_name(self) -> bool:
        """Whether the name alone decides if a session is selected."""
        return self.model is None and self.pinned is None

    def fits(self, summary: SessionSummary) -> bool:
        """Return whether the session is selected."""
        meta = summary.meta
        if self.model not in (None, meta.model, meta.model.partition("@")[0]):
            return False
        return self.pinned in (None, meta.pinned) and summary.key.session.startswith(self.prefix)


EVERY_SESSION = SessionFilter()
