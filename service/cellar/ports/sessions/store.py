"""Protocol of the store of sessions."""

from collections.abc import Sequence
from typing import Protocol

from cellar.errors import CellarError
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
    """Creates, reads, lists and deletes sessions, and commits their changes."""

    async def create(
        self, record: SessionRecord, layout: str | None = None, origin: Origin = "create"
    ) -> SessionSummary | None:
        """Create the session if its name is free and return None; else return the session that has the name.

        `layout` describes its state and `origin` how it was created; both go to the log and the events.
        """

    async def create_all(
        self, new: Sequence[tuple[SessionRecord, str | None, Origin]]
    ) -> Sequence[SessionSummary | CellarError | None]:
        """Create sessions of one tenant with different names, each with its layout and origin.

        Return for each what `create` returns or raises.
        """

    async def load(self, key: SessionKey) -> SessionRecord:
        """Return the session. Raise SessionUnknown, SessionExpired or StoreUnavailable."""

    async def load_all(self, keys: Sequence[SessionKey]) -> Sequence[SessionRecord | CellarError]:
        """Return each session, or the error for one that is not there, read together. Raise StoreUnavailable."""

    def compact(self, record: SessionRecord) -> bytes:
        """Return a session as one bytes object of this process, which takes less memory."""

    def expand(self, key: SessionKey, data: bytes) -> SessionRecord:
        """Return the session that `compact` has packed."""

    async def find(self, key: SessionKey, identity: Identity, fingerprint: bytes) -> Committed | SessionRecord:
        """Return the answer to a repeated request, or the session if the request is new and may run on it.

        Raise PositionConflict, FingerprintMismatch, or what `load` raises.
        """

    async def since(
        self, key: SessionKey, position: Position, writer: str | None
    ) -> tuple[SessionRecord, list[CommittedChange]]:
        """Return the session, and its changes after `position` in order, those of `writer` with their numbers.

        The state of the session may be an earlier one. Raise PositionConflict if the ring of last changes does not
        reach back to `position`, or what `load` raises.
        """

    async def summary(self, key: SessionKey) -> SessionSummary:
        """Return the session without its state. Raise as `load`."""

    async def summaries(self, keys: Sequence[SessionKey]) -> Sequence[SessionSummary]:
        """Return those of the sessions that exist, without their states."""

    def post(self, commits: Sequence[Commit], done: CommitCallback) -> None:
        """Begin to apply a group of commits, and call `done` with their results, a part at a time.

        A session occurs at most once in a group. A result that is an error (SessionUnknown, SessionExpired,
        FingerprintMismatch, StoreUnavailable) concerns only its own commit.

        There is a part for each server that has some of the sessions, and its results are reported as soon as that
        server has answered. Every commit is reported exactly once. `done` is not called before `post` returns; it
        should be quick, may call `post`, and its exceptions are logged. Groups are applied in the order in which they
        are posted, unless commits have to be sent again.
        """

    async def delete(self, key: SessionKey) -> None:
        """Delete the session, but not another one that gets its name meanwhile. Raise as `load`."""

    async def list(
        self, tenant: str, cursor: str, limit: int, wanted: SessionFilter = EVERY_SESSION
    ) -> tuple[list[SessionSummary], str]:
        """Return up to `limit` sessions after `cursor` ("" to begin), and the next cursor, "" at the end.

        The number of sessions that are examined is bounded, so a page before the end may have fewer than `limit`
        sessions, or none.
        """
