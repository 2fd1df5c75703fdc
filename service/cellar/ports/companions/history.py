"""Earlier states of a session and the log of its changes: values and protocol of their store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cellar.ports.sessions.changes import Position
from cellar.ports.sessions.record import SessionKey, SessionMeta


@dataclass(frozen=True, slots=True)
class KeptState:
    """An earlier state that is kept: the session was at `position` after `revision` changes."""

    revision: int
    position: Position


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """The earlier states and the beginning of the log that a session has, read at one moment."""

    meta: SessionMeta
    position: Position
    revision: int
    """Revision of the session at that moment."""
    states: Sequence[KeptState]
    """The earlier states, oldest first."""
    first: "LogEntry | None"
    """The first entry of the log, without inputs; None if there is none."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of the log: one change, or the creation of the session (kind `create`)."""

    revision: int
    """Revision of the session after the change: 1 after the first."""
    kind: str
    after: Position
    steps: int
    inputs: bytes = b""
    """Float32, (steps, rows, in_size)."""
    row_flags: bytes = b""
    """A byte for each row of the first steps: `cellar.ports.RowFlags`; empty if no row was reset or left out."""
    state: bytes | None = None
    """The new state, of a change whose state does not follow from its inputs."""
    layout: str | None = None
    """Layout of that state: `cellar.sessions.values.model_protocol`."""
    model: str | None = None
    """The new model version, of a change that set one."""


class HistoryStore(Protocol):
    """Reads the earlier states and the log that commits have written. Every method raises as `SessionStore.load`."""

    async def read(self, key: SessionKey, history: int) -> StoredHistory:
        """Return the kept states and the log. `history` is the number of states that the session may keep."""

    async def state(self, key: SessionKey, incarnation: bytes, kept: KeptState, history: int) -> bytes | None:
        """Return an earlier state of the session with that incarnation, None if it is no longer kept."""

    async def log(
        self, key: SessionKey, incarnation: bytes, after: int, *, most: int, until: int | None = None
    ) -> Sequence[LogEntry]:
        """Return entries of the log after revision `after` (-1: from the first) and up to revision `until`.

        There are at most `most` of them, and their size is limited, but one entry is always returned. The list is
        empty if the session has another incarnation.
        """
