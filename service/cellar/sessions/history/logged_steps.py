"""Reads the steps that sessions have logged, session by session."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from cellar.errors import InvalidInput, NotKept, SessionUnknown
from cellar.ports import Floats, HistoryStore, RowFlags, SessionFilter, SessionKey, SessionStore, StoredHistory
from cellar.sessions.history.history import PAGE, inputs_of
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.deleted_model import model_deleted
from cellar.sessions.values.model_protocol import Model

MOST_SESSIONS = 100_000
"""Most sessions that are read at a time: their names are in memory."""

LISTED = 1000
"""Sessions in one read of the list."""


@dataclass(frozen=True, slots=True)
class LoggedSteps:
    """The inputs of steps of a session that one version of a model has run."""

    session: str
    model: Model
    rows: int
    """The rows of the session."""
    inputs: Floats
    """(steps, rows, in_size)"""
    flags: RowFlags | None
    """Of the first steps; None if no row was reset or left out."""


class SessionLogs:
    """Reads the logs of many sessions. Raises as `Sessions`, and Overloaded if too many requests do that."""

    def __init__(self, sessions: Sessions, store: SessionStore, history: HistoryStore) -> None:
        self._sessions = sessions
        self._store = store
        self._history = history
        self._limit = ConcurrencyLimit(what="reads of the logs of sessions")

    async def read(self, tenant: str, wanted: SessionFilter) -> AsyncGenerator[LoggedSteps, None]:
        """Yield the logged steps of sessions, by name, each in the order of its steps. Sessions without a log are left
        out.

        Steps before a reset, a rewind or another change of the state are among them. The versions of a session that
        has migrated must have the same inputs. Raise InvalidInput for no session or more than MOST_SESSIONS, NotKept
        if none of them has logged steps, ModelUnknown or ModelDeleted.
        """
        async with self._limit.slot():
            names, logs, steps = await self._names(tenant, wanted), 0, 0
            for name in names:
                key = SessionKey(tenant, name)
                try:
                    stored = await self._history.read(key, 0)
                    if not stored.meta.log:
                        continue
                    logs += 1
                    async for part in self._of_session(key, stored):
                        steps += len(part.inputs)
                        yield part
                except SessionUnknown:  # it has expired meanwhile
                    continue
        if not logs:
            raise NotKept(f"none of the {len(names)} sessions has a log: create sessions with `log`")
        if not steps:
            raise NotKept(f"the logs of the {logs} sessions that have one hold no steps yet")

    async def _names(self, tenant: str, wanted: SessionFilter) -> list[str]:
        """Return the names of the sessions, sorted. Raise InvalidInput."""
        names, cursor = set[str](), ""
        while True:
            page, cursor = await self._store.list(tenant, cursor, LISTED, wanted)
            names.update(summary.key.session for summary in page)
            if len(names) > MOST_SESSIONS:
                raise InvalidInput(
                    f"more than {MOST_SESSIONS:,} sessions",
                    pointer="/sessions/prefix",
                    expected="a prefix that fewer sessions have",
                )
            if not cursor:
                break
        if not names:
            raise InvalidInput(
                "there are no such sessions",
                pointer="/sessions",
                expected="a prefix of names, or a model, that sessions have",
            )
        return sorted(names)

    async def _of_session(self, key: SessionKey, stored: StoredHistory) -> AsyncGenerator[LoggedSteps, None]:
        """Yield the steps in the log of a session up to the revision that it has now."""
        meta, after = stored.meta, -1
        if meta.deleted is not None:
            raise model_deleted(meta.model)
        ref = None
        while after < stored.revision:
            page = await self._history.log(key, meta.incarnation, after, most=PAGE, until=stored.revision)
            for entry in page:
                ref = entry.model or meta.ran(entry.revision) or ref
                if entry.steps:
                    inputs, flags = inputs_of(entry, meta.batch_size)
                    model = await self._sessions.models.resolve(key.tenant, ref or meta.model)
                    yield LoggedSteps(key.session, model, meta.batch_size, inputs, flags)
            if not page:
                return
            after = page[-1].revision
