"""The commit of changes to a session, which is a compare-and-set of its record, and its possible results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from cellar.errors import CellarError
from cellar.ports.sessions.changes import Change, Changes, Position, StepChanges
from cellar.ports.sessions.record import RedoEntry, SessionMeta, SessionRecord
from cellar.ports.sessions.writers import Writers


@dataclass(slots=True, eq=False, init=False)
class Commit:
    """A compare-and-set: if the stored session is still `before`, all changes are applied and its state is `state`.

    The first change begins at the position of `before`, each further one at the end of the one before it. `meta` is the
    new metadata, None if they stay the same. If the commit fails because another process changed the session, the other
    processes are asked to pause their commits of this session for `wanted_pause_s` (0: not).
    """

    before: SessionRecord
    changes: Changes
    state: bytes
    meta: SessionMeta | None
    wanted_pause_s: float
    redo: RedoEntry | None
    """The steps of the commit, if they are stored in place of the state."""
    _after: SessionRecord | None = field(init=False, repr=False)

    def __init__(
        self,
        before: SessionRecord,
        changes: Changes,
        state: bytes,
        meta: SessionMeta | None = None,
        wanted_pause_s: float = 0.0,
        redo: RedoEntry | None = None,
    ) -> None:
        self.before, self.changes, self.state, self.meta = before, changes, state, meta
        self.wanted_pause_s, self.redo, self._after = wanted_pause_s, redo, None

    @property
    def after(self) -> SessionRecord:
        """The session after the commit; always the same object."""
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
            if self.redo is not None:
                self._after.unstored = before.unstored + 1
                if before.redo:  # a change of a session whose present state is not known, which keeps the state
                    self._after.redo = (*before.redo, self.redo)
        return self._after

    def _writers(self, changes: Sequence[Change]) -> Writers:
        writers = self.before.writers
        for revision, (change, after) in enumerate(zip_longest(changes, changes[1:]), self.before.revision):
            writer = change.identity.writer
            # of consecutive requests of one writer only the last is kept
            if writer is not None and (after is None or after.identity.writer != writer):
                writers = writers.after(writer, change.identity.seq, revision)
        return writers


@dataclass(slots=True)
class Committed:
    """The answer to a request that changed the session, now or (`replayed`) when it was first sent."""

    position: Position
    steps: int
    output: bytes | None
    """None if it was too large to be kept."""
    replayed: bool = False
    model: str | None = None
    """The version that ran the steps, if the session follows an alias and the version is known."""


class CommittedChange(NamedTuple):
    """A change that was committed earlier. `steps` is 0 if it was not a step."""

    position: Position
    steps: int
    output: bytes | None
    """None if it was too large to be kept."""
    seq: int | None
    """Its number among the requests of the writer who asks, None if another client sent it."""
    model: str | None = None
    """As of `Committed`."""


@dataclass(slots=True)
class Applied:
    """All changes of the commit were applied."""

    pause_s: float = 0.0
    """Above 0: another process, whose commits keep failing, asks for a pause of that many seconds."""


@dataclass(slots=True)
class CommitConflict:
    """The stored session was not `Commit.before`, so nothing was written. `record` is the stored session."""

    record: SessionRecord

    @property
    def has_state(self) -> bool:
        """Whether `record` has the present state of the session; else the session must be read again."""
        return not self.record.unstored


CommitResult = Applied | Committed | CommitConflict | CellarError
"""Committed: the first change had been committed before by the same request, and nothing was written."""


CommitCallback = Callable[[Sequence[int], Sequence[CommitResult]], None]
"""Is called with the indices of commits of a group that have ended, and the result of each of them."""
