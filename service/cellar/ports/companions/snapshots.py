"""Snapshots, which are named copies of a session, and copies for forks: values and protocol of their store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.record import SessionKey, SessionMeta, SessionRecord


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot without its state. `meta` is the metadata of the session at that moment."""

    name: str
    meta: SessionMeta
    position: Position
    taken_s: float
    """Time of the copy, seconds since the Unix epoch."""
    request: bytes
    """16 bytes that identify the request which took it."""


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """The snapshot of that name, whether it was `copied` now, and the present position of the session."""

    snapshot: Snapshot
    copied: bool
    now: Position


@dataclass(frozen=True, slots=True)
class RequestCopy:
    """The session as it was when a request first arrived."""

    session: SessionRecord
    request: bytes
    """Identifies the request for which it was copied."""
    replayed: bool
    """Whether that request had arrived before."""


class SnapshotStore(Protocol):
    """Stores copies of sessions. They are deleted with their session; every method raises as `SessionStore.load`."""

    async def take(
        self, key: SessionKey, name: str, position: Position | None, request: bytes, taken_s: float
    ) -> SnapshotResult:
        """Copy the session under that name; if there is a snapshot of that name, return it instead.

        Raise PositionConflict if the session is not at `position`, or SnapshotsFull.
        """

    async def copy_for_request(
        self, key: SessionKey, mark: bytes, position: Position | None, request: bytes, taken_s: float
    ) -> RequestCopy:
        """Return the copy with that mark; if there is none, copy the session and keep it as long as Idempotency-Keys.

        Raise PositionConflict if there is no copy and the session is not at `position`.
        """

    async def list(self, key: SessionKey) -> Sequence[Snapshot]:
        """Return all snapshots of the session, by name."""

    async def find(self, key: SessionKey, name: str) -> Snapshot:
        """Return a snapshot. Raise SnapshotUnknown."""

    async def read(self, key: SessionKey, name: str) -> SessionRecord:
        """Return the session as it was, with its state. Raise SnapshotUnknown."""

    async def delete(self, key: SessionKey, name: str) -> None:
        """Delete a snapshot. Raise SnapshotUnknown."""
