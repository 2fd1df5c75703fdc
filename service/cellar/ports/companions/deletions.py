"""Deletions of all sessions that a filter selects: their record and the protocol of their store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cellar.ports.sessions.record import SessionFilter, SessionKey, SessionSummary


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion as stored. Each session is counted exactly once, also if a process dies in between."""

    tenant: str
    deletion: str
    wanted: SessionFilter
    created_s: float
    dry_run: bool = False
    """Whether the sessions are only counted."""
    cursor: str = ""
    """The place in the list up to which sessions were read."""
    part: int = 0
    """The number of parts that are done."""
    batch: Sequence[str] = ()
    """The names of the part that is being deleted; empty while the next part is read."""
    matched: int = 0
    """The sessions that were selected."""
    deleted: int = 0
    ended_s: float | None = None


class DeletionStore(Protocol):
    """Stores deletions and deletes their sessions. Every method may raise StoreUnavailable."""

    async def create(self, deletion: Deletion) -> Deletion:
        """Store a deletion, and return it; if there is one of its name, return that."""

    async def get(self, tenant: str, deletion: str) -> Deletion:
        """Return a deletion. Raise DeletionUnknown."""

    async def take(self, deletion: Deletion, lease_s: float) -> bool:
        """Return whether this process is the one to continue the deletion, for this time."""

    async def renew(self, deletion: Deletion, lease_s: float) -> None:
        """Extend the time for which this process continues the deletion; 0 ends it."""

    async def unfinished(self, tenant: str) -> list[Deletion]:
        """Return the deletions that have not ended."""

    async def advance(self, before: Deletion, after: Deletion) -> bool:
        """Replace `before` by `after`; return False if another process has replaced it."""

    async def purge(self, deletion: Deletion, sessions: Mapping[str, SessionSummary | None]) -> list[SessionKey]:
        """Delete the sessions of the batch, given by name; None: one that is not selected, or no longer exists.

        A session that has changed since is not deleted if the filter asks for idle ones. Return the sessions that were
        deleted for this part now, or earlier by a process that died.
        """
