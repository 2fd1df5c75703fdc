"""A session's past: what is kept of it, its log, and the way back to an earlier state."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from cellar.errors import CellarError, InvalidInput, NotKept, OutOfReach
from cellar.ports import (
    Committed,
    HistoryStore,
    Identity,
    KeptState,
    LogEntry,
    Position,
    SessionKey,
    SessionMeta,
    SessionRecord,
    SessionStore,
    StoredHistory,
)
from cellar.sessions.history.reachability import has_beginning, is_followed, reachable, usable
from cellar.sessions.history.recompute import Recompute
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.requests.request import Edited, Stale
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.model_protocol import Network
from cellar.sessions.values.position import fingerprint
from cellar.sessions.values.results import ChangeAnswer, Floats, Mask

PAGE = 1024
"""Entries of the log that are read at once, if they are small."""


@dataclass(frozen=True, slots=True)
class Back:
    """Where to go back to; one of the three."""

    step: int | None = None
    """Of the present epoch."""
    steps: int | None = None
    """How many steps back from the present one."""
    to: Position | None = None
    """Of any epoch."""

    def check(self) -> None:
        """Raise InvalidInput unless it is one of the three."""
        if [self.step, self.steps, self.to].count(None) != 2:
            raise InvalidInput("say where to go back to", expected="one of step, steps and to")


@dataclass(frozen=True, slots=True)
class HistoryAnswer:
    """What can be gone back to."""

    position: Position
    states: Sequence[KeptState]
    """Kept states, oldest first."""
    reachable: Sequence[tuple[int, int]]
    """Steps of the present epoch, as (first, last)."""


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """A part of the log, and the revision after which it goes on; None at the end."""

    meta: SessionMeta
    entries: Sequence[LogEntry]
    after: int | None


class SessionHistory:
    """Goes back in time. Every method raises as those of `Sessions`."""

    def __init__(
        self, sessions: Sessions, store: SessionStore, history: HistoryStore, *, places: ConcurrencyLimit | None = None
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._history = history
        self._places = places or ConcurrencyLimit()

    async def history(self, key: SessionKey) -> HistoryAnswer:
        """Return what the session can go back to."""
        stored = await self._read(key)
        return HistoryAnswer(stored.position, usable(stored), reachable(stored))

    async def log(self, key: SessionKey, after: int, limit: int) -> LogAnswer:
        """Return up to `limit` entries of the log after revision `after`, fewer if they are large.

        Raise NotKept if the session has no log.
        """
        summary = await self._store.summary(key)
        if not summary.meta.log:
            raise NotKept("the session has no log: create it with `log`")
        entries = await self._history.log(key, summary.meta.incarnation, after, most=limit)
        more = bool(entries) and bool(
            await self._history.log(key, summary.meta.incarnation, entries[-1].revision, most=1)
        )
        return LogAnswer(summary.meta, entries, entries[-1].revision if more else None)

    async def rewind(self, key: SessionKey, back: Back, identity: Identity) -> ChangeAnswer:
        """Go back to an earlier state: step 0 of a new epoch.

        Raise InvalidInput, NotKept if the session keeps nothing of its past, OutOfReach if that does not reach so far,
        Overloaded if logged steps must be run again and other requests leave no place for that.
        """
        back.check()
        mark = fingerprint("rewind", names=f"{back.step} {back.steps} {back.to}")
        made: dict[tuple[bytes, str, Position], bytes] = {}

        async def prepare(record: SessionRecord, network: Network) -> Edited:
            stored = await self._history.read(key, record.meta.history)
            if (stored.meta.incarnation, stored.revision) != (record.meta.incarnation, record.revision):
                raise Stale
            place = _place(back, stored)
            where = record.meta.incarnation, record.meta.model_digest, place
            if where not in made:
                made[where] = await self._state(record, stored, place, network)
            return Edited(made[where])

        record = await self._to_run(key, back, identity, mark)
        if record is None:
            return await self._sessions.change_after(key, "rewind", identity, mark, prepare)
        # logged steps are run before the session has to wait for the result: its own steps go on meanwhile
        async with self._places.take():
            with suppress(CellarError, Stale):  # whether that still holds is seen when its turn comes
                served = await self._sessions.models.fetch(key.tenant, record.meta)
                await prepare(record, served.model.network)
            return await self._sessions.change_after(key, "rewind", identity, mark, prepare)

    async def _to_run(self, key: SessionKey, back: Back, identity: Identity, mark: bytes) -> SessionRecord | None:
        """Return the session if logged steps have to be run again to go back there, as far as can be told now."""
        try:
            record = await self._store.find(key, identity, mark)
            if isinstance(record, Committed):
                return None
            stored = await self._history.read(key, record.meta.history)
            place = _place(back, stored)
        except CellarError:
            return None
        kept = any(_is_at(each.position, place) for each in usable(stored))
        return None if kept or _is_at(record.position, place) else record

    async def _read(self, key: SessionKey) -> StoredHistory:
        while True:
            history = (await self._store.summary(key)).meta.history
            stored = await self._history.read(key, history)
            if stored.meta.history == history:  # else another session has taken the name
                return stored

    async def _state(self, record: SessionRecord, stored: StoredHistory, place: Position, network: Network) -> bytes:
        """Return the state that the session had at a place; a digest of b"" is any."""
        if _is_at(record.position, place):
            return record.state
        there = [kept for kept in usable(stored) if _is_at(kept.position, place)]
        if there:
            return await self._kept(record, there[-1])
        before = [kept for kept in usable(stored) if kept.position.epoch == place.epoch and is_followed(stored, kept)]
        before = [kept for kept in before if kept.position.step < place.step]
        if before:
            nearest = max(before, key=lambda kept: kept.position.step)
            rerun = self._rerun(network, await self._kept(record, nearest), record)
            return await self._go_on(rerun, record, stored, nearest.revision, place)
        return await self._from_log(record, stored, place, network)

    async def _kept(self, record: SessionRecord, kept: KeptState) -> bytes:
        state = await self._history.state(record.key, record.meta.incarnation, kept, record.meta.history)
        if state is None:
            raise Stale
        return state

    async def _from_log(self, record: SessionRecord, stored: StoredHistory, place: Position, network: Network) -> bytes:
        """Return the state at a place from that which the log has of the beginning of the place's epoch."""
        if stored.first is None or (place.epoch == stored.position.epoch and not has_beginning(stored)):
            raise _out_of_reach(stored, place)
        async for entry in entries(self._history, record, -1):
            if entry.after.epoch == place.epoch and entry.state is not None and entry.revision >= stored.meta.migrated:
                rerun = self._rerun(network, entry.state, record)
                if _is_at(entry.after, place):
                    return rerun.state
                return await self._go_on(rerun, record, stored, entry.revision, place)
        raise _out_of_reach(stored, place)

    def _rerun(self, network: Network, state: bytes, record: SessionRecord) -> Recompute:
        return Recompute(network, state, record.meta.batch_size, self._sessions.kernels)

    async def _go_on(
        self, rerun: Recompute, record: SessionRecord, stored: StoredHistory, revision: int, place: Position
    ) -> bytes:
        """Make the logged steps after `revision` again until the place, which may be inside a sequence."""
        async for entry in entries(self._history, record, revision):
            if entry.after.epoch != place.epoch:
                break
            if not entry.steps:
                continue
            inputs, reset = inputs_of(entry, record.meta.batch_size)
            inside = entry.after.step - place.step
            if inside > 0 and place.digest:  # a position that no answer ever had
                break
            await rerun.run(inputs[: len(inputs) - max(0, inside)], reset)
            if inside > 0 or _is_at(entry.after, place):
                return rerun.state
        raise _out_of_reach(stored, place)


def inputs_of(entry: LogEntry, rows: int) -> tuple[Floats, Mask | None]:
    """Return the inputs (steps, rows, in_size) of logged steps and the rows that began anew before them."""
    inputs = np.frombuffer(entry.inputs, "<f4").reshape(entry.steps, rows, -1)
    return inputs, np.frombuffer(entry.reset, np.bool_) if entry.reset else None


async def entries(store: HistoryStore, record: SessionRecord, after: int) -> AsyncIterator[LogEntry]:
    """Yield the entries of the log after revision `after` up to the record's. -1: from its first entry.

    Raise OutOfReach if the log does not have them all, which may also happen in the middle: it is trimmed meanwhile.
    """
    while after < record.revision:
        page = await store.log(record.key, record.meta.incarnation, after, most=PAGE, until=record.revision)
        if not page or after not in (-1, page[0].revision - 1):
            raise OutOfReach(f"the log has lost what came after change {max(after, 0)} of the session")
        for entry in page:
            yield entry
        after = page[-1].revision


def _place(back: Back, stored: StoredHistory) -> Position:
    """Return where to go back to; a digest of b"" is any."""
    now = stored.position
    if back.to is not None:
        return back.to
    step = now.step - (back.steps or 0) if back.step is None else back.step
    place = Position(now.epoch, step, b"")
    if not 0 <= step <= now.step:
        raise _out_of_reach(stored, place)
    return place


def _is_at(position: Position, place: Position) -> bool:
    same = (position.epoch, position.step) == (place.epoch, place.step)
    return same and place.digest in (b"", position.digest)


def _out_of_reach(stored: StoredHistory, place: Position) -> NotKept | OutOfReach:
    if not stored.meta.history and not stored.meta.log:
        return NotKept("the session keeps nothing of its past: create it with `history` or `log`")
    epoch = "" if place.epoch == stored.position.epoch else " of that epoch"
    return OutOfReach(f"the session cannot go back to step {place.step}{epoch}", reachable=reachable(stored))
