"""Events of sessions, which commits write for subscribers: values and protocol of their store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.record import SessionKey


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a session, or its creation (kind `create`)."""

    revision: int
    """Revision of the session after the change: 1 after the first."""
    kind: str
    after: Position
    steps: int
    output: bytes | None
    """Float32, (steps, rows, out_size); None if the change has no output or it was too large to be kept."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Revision of a session at one moment, and some of its events."""

    incarnation: bytes
    revision: int
    """Revision of its last event."""
    events: Sequence[Event]
    """Events after the requested revision, oldest first; a limited number of them."""


@dataclass(frozen=True, slots=True)
class MissingSession:
    """There is no session of that name; `expired` says whether there was one lately."""

    expired: bool


class EventStore(Protocol):
    """Reads events, and reports which sessions may have new ones. One connection serves all subscribers."""

    async def read(self, after: Mapping[SessionKey, int]) -> Mapping[SessionKey, EventPage | MissingSession]:
        """Return for each session its events after this revision (-1: from the first that is kept).

        Raise StoreUnavailable or StoreCorrupt.
        """

    def follow(self, key: SessionKey) -> None:
        """Include this session in `changed`."""

    def unfollow(self, key: SessionKey) -> None:
        """Exclude this session from `changed`."""

    async def changed(self) -> set[SessionKey]:
        """Wait until a followed session may have changed, and return all those that may have since the last call.

        A change may be missed, so callers also read the events from time to time.
        """
