"""The record of a session: its name, its metadata, its position and its state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.writers import NO_WRITERS, Writers

Origin = Literal["create", "fork", "replay", "write"]
"""How a session was created: with the initial state, with the state of another session, or by replaying a log."""


class SessionKey(NamedTuple):
    """The name of a session, and its tenant, whose name is plain ASCII without a slash."""

    tenant: str
    session: str


class DeletedModel(NamedTuple):
    """Facts about a deleted model that its sessions keep, to read their state and to migrate to another model."""

    in_size: int
    out_size: int
    whole_sequences: bool
    states: Sequence[tuple[int, str, int, str]]
    """Layer, name, size and cell of each state, in order."""


class Following(NamedTuple):
    """The alias that a session follows: when the alias has moved, the next step runs on its new version."""

    alias: str
    """An alias of the session's model, without the name of the model."""
    moved_ms: int
    """The move of the alias that the session has followed (`Alias.moved_ms`)."""
    versions: tuple[tuple[int, str], ...]
    """The last versions of the session, `name@3`, each with the revision of the session from which on it was run."""

    @classmethod
    def of(cls, alias: str, moved_ms: int, version: str, revision: int = 0) -> "Following":
        """Return the value for a session that begins to follow an alias at a revision."""
        return cls(alias, moved_ms, ((revision, version),))

    def ran(self, revision: int) -> str | None:
        """Return the version that ran the change at a revision, None if it is not known any more."""
        return next((version for first, version in reversed(self.versions) if first <= revision), None)

    def after(self, revision: int, version: str, moved_ms: int) -> "Following":
        """Return the value for a session that runs another version from a revision on."""
        return Following(self.alias, moved_ms, (*self.versions, (revision, version))[-MOST_VERSIONS:])


MOST_VERSIONS = 32
"""Most versions of a session whose revisions are known."""


@dataclass(slots=True)
class SessionMeta:
    """The part of a session that steps do not change. Like the values of steps it is not frozen, and never changed."""

    model: str
    """The version that runs it, `name@3`."""
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
    """Set when its model was deleted by force: from then on only a move to another version changes its state."""
    following: Following | None = None
    """The alias that it follows; None: its version is pinned."""
    learning: str = ""
    """The learning of the session, as JSON (`cellar.nn.learning.spec`); empty: nothing."""

    @property
    def follows(self) -> str | None:
        """Return the alias that it follows, `name@live`; None if its version is pinned."""
        return None if self.following is None else f"{self.model.partition('@')[0]}@{self.following.alias}"

    def ran(self, revision: int) -> str | None:
        """Return the version that ran the change at a revision of a session that follows an alias, else None."""
        return None if self.following is None else self.following.ran(revision)


class RedoEntry(NamedTuple):
    """Steps whose commit stored their inputs in place of the state, which is computed from them again."""

    revision: int
    """Revision of the session before the commit."""
    changes: int
    """Number of changes in the commit."""
    steps: int
    inputs: bytes
    """Float32, little endian, (steps, batch_size, in_size)."""
    row_flags: bytes = b""
    """A byte for each row of the first steps: `cellar.ports.RowFlags`; empty if no row is reset or left out."""


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
    redo: Sequence[RedoEntry] = ()
    """Steps that have to be run to get from `state`, the last one that was stored, to the present state."""
    unstored: int = field(default=0, compare=False)
    """Commits since the last one that stored the state: their redo entries are stored in its place."""
    packed: Any = field(default=None, init=False, compare=False, repr=False)
    """Used by the store alone: parts of the packed record, so that they are packed once and not for each commit."""


@dataclass(slots=True)
class SessionSummary:
    """A session in a listing: everything but its state, and the seconds until it expires. Never changed."""

    key: SessionKey
    meta: SessionMeta
    position: Position
    left_s: float


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Selects the sessions of a listing; all of them by default."""

    model: str | None = None
    """A version, `name@3`, all versions of a model, `name`, or an alias that the session follows, `name@live`."""
    prefix: str = ""
    """Prefix of their names."""
    pinned: bool | None = None
    """True: those that never expire. False: those that may. None: both."""
    idle_s: int | None = None
    """Only those that have not changed for this time, in seconds, and may expire."""

    @property
    def by_name(self) -> bool:
        """Whether the name alone decides if a session is selected."""
        return self.model is None and self.pinned is None and self.idle_s is None

    def fits(self, summary: SessionSummary) -> bool:
        """Return whether the session is selected."""
        meta = summary.meta
        name = meta.model.partition("@")[0]
        if self.model not in (None, meta.model, name, meta.follows):
            return False
        if self.idle_s is not None and (meta.pinned or meta.ttl_s - summary.left_s < self.idle_s):
            return False
        return self.pinned in (None, meta.pinned) and summary.key.session.startswith(self.prefix)


EVERY_SESSION = SessionFilter()
