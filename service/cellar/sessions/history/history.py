"""Lists the kept states and the log of a session, and rewinds the session to an earlier state."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from cellar.errors import CellarError, InvalidInput, ModelUnknown, NotKept, OutOfReach
from cellar.ports import (
    Committed,
    Floats,
    HistoryStore,
    Identity,
    KeptState,
    LogEntry,
    Position,
    RowFlags,
    SessionKey,
    SessionMeta,
    SessionRecord,
    SessionStore,
    StoredHistory,
)
from cellar.sessions.execution.recompute import Recompute
from cellar.sessions.history.reachability import log_covers, log_has_epoch_start, reachable, usable
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.requests.change_request import Edited, Stale
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.learning import LEARNING_KINDS, begun_anew
from cellar.sessions.values.model_protocol import Network
from cellar.sessions.values.position import fingerprint
from cellar.sessions.values.results import ChangeAnswer

PAGE = 1024
"""Entries of the log in one read of the store; fewer if they are large."""


@dataclass(frozen=True, slots=True)
class RewindTarget:
    """The state to which a session is rewound; exactly one member is given."""

    step: int | None = None
    """A step of the present epoch."""
    steps: int | None = None
    """The number of steps to go back from the present one."""
    to: Position | None = None
    """A position of any epoch."""

    def check(self) -> None:
        """Raise InvalidInput unless exactly one member is given."""
        if [self.step, self.steps, self.to].count(None) != 2:
            raise InvalidInput("say where to go back to", expected="one of step, steps and to")


@dataclass(frozen=True, slots=True)
class HistoryAnswer:
    """The states and steps to which a session can be rewound."""

    position: Position
    states: Sequence[KeptState]
    """KeptState states, oldest first."""
    reachable: Sequence[tuple[int, int]]
    """Steps of the present epoch, as (first, last)."""


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """A page of the log, and the revision after which the next page begins; None on the last page."""

    meta: SessionMeta
    entries: Sequence[LogEntry]
    after: int | None


class SessionHistory:
    """Reads and rewinds histories of sessions. Every method raises as those of `Sessions`."""

    def __init__(
        self, sessions: Sessions, store: SessionStore, history: HistoryStore, *, limit: ConcurrencyLimit | None = None
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._history = history
        self._limit = limit or ConcurrencyLimit()

    async def history(self, key: SessionKey) -> HistoryAnswer:
        """Return the kept states and the steps that can be reached."""
        stored = await self._read(key)
        return HistoryAnswer(stored.position, usable(stored), reachable(stored))

    async def log(self, key: SessionKey, after: int, limit: int) -> LogAnswer:
        """Return up to `limit` entries of the log after revision `after`. Raise NotKept if there is no log."""
        summary = await self._store.summary(key)
        if not summary.meta.log:
            raise NotKept("the session has no log: create it with `log`")
        entries = await self._history.log(key, summary.meta.incarnation, after, most=limit)
        more = bool(entries) and bool(
            await self._history.log(key, summary.meta.incarnation, entries[-1].revision, most=1)
        )
        return LogAnswer(summary.meta, entries, entries[-1].revision if more else None)

    async def rewind(self, key: SessionKey, back: RewindTarget, identity: Identity) -> ChangeAnswer:
        """Put the session into an earlier state, at step 0 of a new epoch.

        Raise InvalidInput, NotKept if the session has neither history nor log, OutOfReach if the state cannot be
        restored from them, or Overloaded if logged steps must be run again and too many requests do that already.
        """
        back.check()
        mark = fingerprint("rewind", names=f"{back.step} {back.steps} {back.to}")
        made: dict[tuple[bytes, str, Position], bytes] = {}

        async def prepare(record: SessionRecord, network: Network) -> Edited:
            """Return the change, with the state that the session had at the target."""
            stored = await self._history.read(key, record.meta.history)
            if (stored.meta.incarnation, stored.revision) != (record.meta.incarnation, record.revision):
                raise Stale
            target = _target(back, stored)
            where = record.meta.incarnation, record.meta.model_digest, target
            if where not in made:
                made[where] = await self._state(record, stored, target, network)
            return Edited(made[where])

        record = await self._to_run(key, back, identity, mark)
        if record is None:
            return await self._sessions.change_after(key, "rewind", identity, mark, prepare)
        # The logged steps are run before the change is queued, so that the session can be stepped in the meantime.
        async with self._limit.slot():
            with suppress(CellarError, Stale):  # the change computes it again, or raises, if the session has changed
                served = await self._sessions.models.fetch(key.tenant, record.meta)
                await prepare(record, served.model.network)
            return await self._sessions.change_after(key, "rewind", identity, mark, prepare)

    async def _to_run(
        self, key: SessionKey, back: RewindTarget, identity: Identity, mark: bytes
    ) -> SessionRecord | None:
        """Return the session if the rewind will probably have to run logged steps, else None."""
        try:
            record = await self._store.find(key, identity, mark)
            if isinstance(record, Committed):
                return None
            stored = await self._history.read(key, record.meta.history)
            target = _target(back, stored)
        except CellarError:
            return None
        kept = any(_matches(each.position, target) for each in usable(stored))
        return None if kept or _matches(record.position, target) else record

    async def _read(self, key: SessionKey) -> StoredHistory:
        while True:
            history = (await self._store.summary(key)).meta.history
            stored = await self._history.read(key, history)
            if stored.meta.history == history:  # otherwise another session of this name was created in between
                return stored

    async def _state(self, record: SessionRecord, stored: StoredHistory, target: Position, network: Network) -> bytes:
        """Return the state that the session had at a position; the digest b"" matches any."""
        if _matches(record.position, target):
            return record.state
        there = [kept for kept in usable(stored) if _matches(kept.position, target)]
        if there:
            return await self._kept(record, there[-1])
        before = [kept for kept in usable(stored) if kept.position.epoch == target.epoch and log_covers(stored, kept)]
        before = [kept for kept in before if kept.position.step < target.step]
        if before:
            nearest = max(before, key=lambda kept: kept.position.step)
            state = await self._kept(record, nearest)
            return await self._run_log(state, record, stored, nearest.revision, target, network)
        return await self._from_log(record, stored, target, network)

    async def _kept(self, record: SessionRecord, kept: KeptState) -> bytes:
        state = await self._history.state(record.key, record.meta.incarnation, kept, record.meta.history)
        if state is None:
            raise Stale
        return state

    async def _from_log(
        self, record: SessionRecord, stored: StoredHistory, target: Position, network: Network
    ) -> bytes:
        """Return the state at a position, computed from the first state of its epoch, which the log holds."""
        if stored.first is None or (target.epoch == stored.position.epoch and not log_has_epoch_start(stored)):
            raise _out_of_reach(stored, target)
        async for entry in entries(self._history, record, -1):
            if entry.after.epoch == target.epoch and entry.state is not None and entry.revision >= stored.meta.migrated:
                if _matches(entry.after, target):
                    return entry.state
                return await self._run_log(entry.state, record, stored, entry.revision, target, network)
        raise _out_of_reach(stored, target)

    async def _network(self, record: SessionRecord, stored: StoredHistory, revision: int, network: Network) -> Network:
        """Return the network that ran the session at a revision, given the present one. Raise OutOfReach."""
        following = record.meta.following
        if following is None or following.versions[-1][0] <= revision:
            return network
        version = following.ran(revision)
        try:
            if version is not None:
                learning = record.meta.learning
                return (await self._sessions.models.resolve(record.key.tenant, version, learning)).network
        except ModelUnknown:
            pass
        which = version or "an earlier version"
        detail = f"the steps that {which} ran cannot be computed again: it was deleted, or is not known any more"
        raise OutOfReach(detail, reachable=reachable(stored))

    async def _run_log(
        self,
        state: bytes,
        record: SessionRecord,
        stored: StoredHistory,
        revision: int,
        target: Position,
        present: Network,
    ) -> bytes:
        """Run the logged steps after `revision` up to a position, which may be inside a sequence.

        Each step is run by the version that ran it when it was committed; `present` is the network of the last one.
        """
        network = await self._network(record, stored, revision, present)
        recompute = Recompute(network, state, record.meta.batch_size, self._sessions.kernels)
        async for entry in entries(self._history, record, revision):
            if entry.after.epoch != target.epoch:
                break
            if entry.kind == "follow":
                network = await self._network(record, stored, entry.revision, present)
                state = begun_anew(recompute.state, network)
                recompute = Recompute(network, state, record.meta.batch_size, self._sessions.kernels)
            if entry.kind in LEARNING_KINDS:
                recompute.learn(entry.kind, entry.inputs)
                if target.digest and _matches(entry.after, target):
                    return recompute.state
            if not entry.steps:
                continue
            inputs, flags = inputs_of(entry, record.meta.batch_size)
            inside = entry.after.step - target.step
            if inside > 0 and target.digest:  # no answer had a position inside a sequence
                break
            await recompute.run(inputs[: len(inputs) - max(0, inside)], flags)
            if inside > 0 or _matches(entry.after, target):
                return recompute.state
        raise _out_of_reach(stored, target)


def inputs_of(entry: LogEntry, rows: int) -> tuple[Floats, RowFlags | None]:
    """Return the inputs (steps, rows, in_size) of logged steps, and the flags of their rows."""
    inputs = np.frombuffer(entry.inputs, "<f4").reshape(entry.steps, rows, -1)
    return inputs, np.frombuffer(entry.row_flags, np.uint8).reshape(-1, rows) if entry.row_flags else None


async def entries(store: HistoryStore, record: SessionRecord, after: int) -> AsyncIterator[LogEntry]:
    """Yield the entries of the log after revision `after` up to that of the record. -1: from its first entry.

    Raise OutOfReach if some of them are no longer in the log. That can also happen after entries were yielded, because
    the log is trimmed while it is read.
    """
    while after < record.revision:
        page = await store.log(record.key, record.meta.incarnation, after, most=PAGE, until=record.revision)
        if not page or after not in (-1, page[0].revision - 1):
            raise OutOfReach(f"the log no longer has the changes after change {max(after, 0)} of the session")
        for entry in page:
            yield entry
        after = page[-1].revision


def _target(back: RewindTarget, stored: StoredHistory) -> Position:
    """Return the position of a target; its digest is b"" if only the step is given. Raise NotKept or OutOfReach."""
    now = stored.position
    if back.to is not None:
        return back.to
    step = now.step - (back.steps or 0) if back.step is None else back.step
    target = Position(now.epoch, step, b"")
    if not 0 <= step <= now.step:
        raise _out_of_reach(stored, target)
    return target


def _matches(position: Position, target: Position) -> bool:
    same = (position.epoch, position.step) == (target.epoch, target.step)
    return same and target.digest in (b"", position.digest)


def _out_of_reach(stored: StoredHistory, target: Position) -> NotKept | OutOfReach:
    if not stored.meta.history and not stored.meta.log:
        return NotKept("the session has neither history nor log: create it with `history` or `log`")
    epoch = "" if target.epoch == stored.position.epoch else " of that epoch"
    return OutOfReach(f"the session cannot go back to step {target.step}{epoch}", reachable=reachable(stored))
