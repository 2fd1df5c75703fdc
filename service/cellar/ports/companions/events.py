"""Events of sessions: what their commits leave for those who watch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.record import SessionKey


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a session, or its birth (kind `create`)."""

    revision: int
    """Of the session after it: 1 after its first change."""
    kind: str
    after: Position
    steps: int
    output: bytes | None
    """Float32, (steps, rows, out_size); None if there is none, or if it was too large to be kept."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A session at one moment, and events that it has kept."""

    incarnation: bytes
    revision: int
    """Where it stands at that moment: the revision of its last event."""
    events: Sequence[Event]
    """Those after the revision that was asked for, oldest first; some only, where there are many."""


@dataclass(frozen=True, slots=True)
class MissingSession:
    """There is no such session."""

    expired: bool


class EventStore(Protocol):
    """Reads events, and tells when there are some. One connection serves all who watch."""

    async def read(self, after: Mapping[SessionKey, int]) -> Mapping[SessionKey, EventPage | MissingSession]:
        """Return sessions with what came after these revisions (-1: from the first that is kept).

        Raise StoreUnavailable or StoreCorrupt.
        """
        ...

    def follow(self, key: SessionKey) -> None:
        """Tell of this session from now on."""
        ...

    def unfollow(self, key: SessionKey) -> None:
        """Tell of this session no more."""
        ...

    async def changed(self) -> set[SessionKey]:
        """Wait until one of those that are followed may have changed, and return all that may have, each once.

        A change may go unnoticed, so look from time to time besides.
        """
        ...
