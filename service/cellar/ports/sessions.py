"""Sessions: the record, and the commit that moves one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal, NamedTuple, Protocol

from cellar.errors import CellarError
from cellar.ports.changes import Change, Changes, Identity, Position, StepChanges
from cellar.ports.writers import NO_WRITERS, Writers

Born = Literal["create", "fork", "replay"]
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
    birth: bytes
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


@dataclass(slots=True, eq=False)
class Commit:
    """One compare-and-set: if the session is still what `before` says, all changes happen, and `state` is its state.

    The first change begins at `before`, each other where the one in front of it ends. `meta` is what the session's
    metadata becomes, None if it stays. `ask_s` above 0 asks the other processes, if this commit loses again, to leave
    the session alone for so long.
    """

    before: SessionRecord
    changes: Changes
    state: bytes
    meta: SessionMeta | None = None
    ask_s: float = 0.0
    _after: SessionRecord | None = field(default=None, init=False, repr=False)

    @property
    def after(self) -> SessionRecord:
        """The session as the commit leaves it: one record, however often it is asked for."""
        if self._after is None:
            before, changes = self.before, self.changes
            if isinstance(changes, StepChanges):
                position, writers = changes.after, before.writers
            else:
                position = changes[-1].after
                alone = len(changes) == 1 and changes[0].identity.writer is None
                writers = before.writers if alone else self._writers(changes)
            meta, revision = self.meta or before.meta, before.revision + len(changes)
            self._after = SessionRecord(before.key, meta, position, revision, self.state, writers)
        return self._after

    def _writers(self, changes: Sequence[Change]) -> Writers:
        writers = self.before.writers
        for revision, (change, after) in enumerate(zip_longest(changes, changes[1:]), self.before.revision):
            writer = change.identity.writer
            # of several requests of a writer, one behind the other, the last is what remains
            if writer is not None and (after is None or after.identity.writer != writer):
                writers = writers.after(writer, change.identity.seq, revision)
        return writers


@dataclass(slots=True)
class Committed:
    """What a request has come to: its change was applied now, or (`replayed`) had been before by the same request."""

    position: Position
    steps: int
    output: bytes | None
    """None when it was too large to be kept for a replay."""
    replayed: bool = False


class Retold(NamedTuple):
    """A change that was committed some time ago, `steps` of them (0: it was none), told again."""

    position: Position
    steps: int
    output: bytes | None
    """None when it was too large to be kept."""
    seq: int | None
    """Of the writer who asks."""


@dataclass(slots=True)
class Applied:
    """All changes of the commit have happened."""

    asked_s: float = 0.0
    """Above 0: another process keeps losing the race for this session and asks to be let in for so long."""


@dataclass(slots=True)
class Moved:
    """The session is not what the commit expected; nothing was written. `record` is what it is now."""

    record: SessionRecord


CommitResult = Applied | Committed | Moved | CellarError
"""Committed is of the first change alone: it had happened before, and nothing was written."""


Done = Callable[[Sequence[int], Sequence[CommitResult]], None]
"""Is told which commits of a tick have ended, by their numbers in it, and the result of each of them."""


class SessionStore(Protocol):
    """Sessions and the commit that moves them."""

    async def create(
        self, record: SessionRecord, layout: str | None = None, born: Born = "create"
    ) -> SessionSummary | None:
        """Create the session if its name is free and return None; else return the session that has the name.

        `layout` says where its states are and `born` where they are from, for log and events.
        """
        ...

    async def load(self, key: SessionKey) -> SessionRecord:
        """Return the session. Raise SessionUnknown, SessionExpired or StoreUnavailable."""
        ...

    async def find(self, key: SessionKey, identity: Identity, fingerprint: bytes) -> Committed | SessionRecord:
        """Return the committed answer to a request seen before, or the session if the request may run on it.

        Raise the PositionConflict or FingerprintMismatch that the request deserves, or what `load` raises.
        """
        ...

    async def since(
        self, key: SessionKey, position: Position, writer: str | None
    ) -> tuple[SessionRecord, list[Retold]]:
        """Return the session, and its changes after `position` in order, those of `writer` with their numbers.

        Raise a PositionConflict if they are not known any more or were never there, or what `load` raises.
        """
        ...

    async def summary(self, key: SessionKey) -> SessionSummary:
        """Return the session without its state. Raise as `load`."""
        ...

    def post(self, commits: Sequence[Commit], done: Done) -> None:
        """Begin to apply a tick, and call `done` with the results of its commits, a part at a time.

        A session occurs at most once in a tick. A result that is an error (SessionUnknown, SessionExpired,
        FingerprintMismatch, StoreUnavailable) concerns its own commit only.

        The results of a part come as soon as they are there, whatever becomes of the others: a store of several
        servers has a part for each that has some of the sessions, any other has one. Every commit is in one of them,
        however the tick ends. `done` is never called from within `post`; it should be quick and may post the next
        tick; what it raises is logged and goes no further. Ticks take effect in the order in which they were posted,
        as far as nothing has to be sent again.
        """
        ...

    async def delete(self, key: SessionKey) -> None:
        """Delete the session, and no other that may get its name meanwhile. Raise as `load`."""
        ...

    async def list(
        self, tenant: str, cursor: str, limit: int, wanted: SessionFilter = EVERY_SESSION
    ) -> tuple[list[SessionSummary], str]:
        """Return up to `limit` sessions after `cursor` ("" to begin), and the next cursor, "" at the end.

        How many sessions are looked at is bounded, so there may be fewer than `limit`, and none, before the end.
        """
        ...
