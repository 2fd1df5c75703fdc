"""Copies of a session: what it was at one position, kept under a name or for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.record import SessionKey, SessionMeta, SessionRecord


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy without its state. `meta` is the session's of that moment."""

    name: str
    meta: SessionMeta
    position: Position
    taken_s: float
    """When it was taken, seconds since the Unix epoch."""
    request: bytes
    """16 bytes that tell the request that took it."""


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """The snapshot of that name, and whether it has been taken now. `now` is where the session stands."""

    snapshot: Snapshot
    copied: bool
    now: Position


@dataclass(frozen=True, slots=True)
class RequestCopy:
    """The session as it was when a request came first."""

    session: SessionRecord
    request: bytes
    """What tells the request that it was copied for first."""
    replayed: bool
    """Whether that request had come before."""


class SnapshotStore(Protocol):
    """Copies of sessions. They end with their session, and every method raises as `SessionStore.load`."""

    async def take(
        self, key: SessionKey, name: str, position: Position | None, request: bytes, taken_s: float
    ) -> SnapshotResult:
        """Copy the session as it is under that name, unless there is one: then that is returned.

        Raise the PositionConflict that `position` deserves if the session is not there, SnapshotsFull.
        """
        ...

    async def copy_for_request(
        self, key: SessionKey, mark: bytes, position: Position | None, request: bytes, taken_s: float
    ) -> RequestCopy:
        """Copy the session as it is for as long as Idempotency-Keys are remembered, or find the copy with that mark.

        Raise the PositionConflict that `position` deserves if the session is not there and was not copied before.
        """
        ...

    async def list(self, key: SessionKey) -> Sequence[Snapshot]:
        """Return all snapshots of the session, by name."""
        ...

    async def find(self, key: SessionKey, name: str) -> Snapshot:
        """Return a snapshot. Raise SnapshotUnknown."""
        ...

    async def read(self, key: SessionKey, name: str) -> SessionRecord:
        """Return the session as it was, with its state. Raise SnapshotUnknown."""
        ...

    async def delete(self, key: SessionKey, name: str) -> None:
        """Delete a snapshot. Raise SnapshotUnknown."""
        ...
