"""A session's past: states that it keeps, and the log of what was done to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.record import SessionKey, SessionMeta


@dataclass(frozen=True, slots=True)
class KeptState:
    """A state that is kept: the session was at `position` after `revision` changes."""

    revision: int
    position: Position


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """What a session keeps of its past, at one moment."""

    meta: SessionMeta
    position: Position
    revision: int
    """Where it stands at that moment."""
    states: Sequence[KeptState]
    """Its earlier states, oldest first."""
    first: "LogEntry | None"
    """The first entry of its log, without what was put in; None if nothing is logged."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of the log: one change, or the birth of the session (kind `create`)."""

    revision: int
    """Of the session after it: 1 after its first change."""
    kind: str
    after: Position
    steps: int
    inputs: bytes = b""
    """Float32, (steps, rows, in_size)."""
    reset: bytes = b""
    """A byte for each row, 1 where it began anew; none if no row did."""
    state: bytes | None = None
    """What it made of the state, where that does not follow from the inputs."""
    layout: str | None = None
    """The places of that state: `cellar.sessions.values.state_layout`."""
    model: str | None = None
    """The version that the session had from then on, where that changed."""


class HistoryStore(Protocol):
    """Reads what commits have left behind. Every method raises as `SessionStore.load`."""

    async def read(self, key: SessionKey, history: int) -> StoredHistory:
        """Return what the session keeps. `history` is how many states that may be, from its metadata."""
        ...

    async def state(self, key: SessionKey, incarnation: bytes, kept: KeptState, history: int) -> bytes | None:
        """Return a state that is kept by the session born as `incarnation`, None if it is kept no more."""
        ...

    async def log(
        self, key: SessionKey, incarnation: bytes, after: int, *, most: int, until: int | None = None
    ) -> Sequence[LogEntry]:
        """Return entries of the log after revision `after` (-1: from the first) and up to revision `until`.

        They are `most` at most, and no more than a bounded number of bytes and one entry. Of another session of that
        name there are none.
        """
        ...
