"""The store of sessions, as a protocol."""

from collections.abc import Sequence
from typing import Protocol

from cellar.ports.sessions.changes import Identity, Position
from cellar.ports.sessions.commit import Commit, CommitCallback, Committed, CommittedChange
from cellar.ports.sessions.record import (
    EVERY_SESSION,
    Origin,
    SessionFilter,
    SessionKey,
    SessionRecord,
    SessionSummary,
)


class SessionStore(Protocol):
    """Sessions and the commit that moves them."""

    async def create(
        self, record: SessionRecord, layout: str | None = None, origin: Origin = "create"
    ) -> SessionSummary | None:
        """Create the session if its name is free and return None; else return the session that has the name.

        `layout` says where its states are and `origin` where they are from, for log and events.
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
    ) -> tuple[SessionRecord, list[CommittedChange]]:
        """Return the session, and its changes after `position` in order, those of `writer` with their numbers.

        Raise a PositionConflict if they are not known any more or were never there, or what `load` raises.
        """
        ...

    async def summary(self, key: SessionKey) -> SessionSummary:
        """Return the session without its state. Raise as `load`."""
        ...

    def post(self, commits: Sequence[Commit], done: CommitCallback) -> None:
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
