"""The commit of changes to a session: a compare-and-set of its record, and what can come of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from cellar.errors import CellarError
from cellar.ports.sessions.changes import Change, Changes, Position, StepChanges
from cellar.ports.sessions.record import SessionMeta, SessionRecord
from cellar.ports.sessions.writers import Writers


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


class CommittedChange(NamedTuple):
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
class CommitConflict:
    """The session is not what the commit expected; nothing was written. `record` is what it is now."""

    record: SessionRecord


CommitResult = Applied | Committed | CommitConflict | CellarError
"""Committed is of the first change alone: it had happened before, and nothing was written."""


CommitCallback = Callable[[Sequence[int], Sequence[CommitResult]], None]
"""Is told which commits of a tick have ended, by their numbers in it, and the result of each of them."""
