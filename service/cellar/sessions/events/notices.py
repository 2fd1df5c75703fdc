"""The messages to a subscriber: an event, a gap, the end of the session, or a heartbeat."""

from dataclasses import dataclass
from typing import Literal

from cellar.ports import Event


@dataclass(frozen=True, slots=True)
class EventId:
    """The identity of an event: the incarnation of its session and its revision in it."""

    incarnation: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A change of the session."""

    id: EventId
    event: Event


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes that are no longer kept, or that belong to another session of the same name."""

    changes: int
    """Their number; -1 if it is unknown: they were of another session of that name, or the store has lost them."""


@dataclass(frozen=True, slots=True)
class End:
    """The last notice: the session has ended, or (`stopping`) this process stops and another one can be asked."""

    reason: Literal["expired", "deleted", "stopping"]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """No event occurred for some seconds."""


Notice = NewEvent | Gap | End | Heartbeat
