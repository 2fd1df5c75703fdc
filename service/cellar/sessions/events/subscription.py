"""One subscriber of a session's events: a bounded buffer, and the position up to which it was given events.

The hub pushes events into the buffer. If the buffer is full, later events are dropped from it and `behind` is set: the
subscriber then reads them from the store at its own speed. So a slow subscriber delays no other. Revisions are
consecutive, so the number of missed events is known."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from cellar.ports import Event, EventPage, SessionKey


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


BUFFER = 64
"""Events in the buffer of a subscriber. Later ones are read from the store."""


@dataclass(slots=True, eq=False)
class Topic:
    """A session with subscribers in this process."""

    key: SessionKey
    incarnation: bytes | None = None
    """The incarnation of the session; None until it has been read."""
    after: int = -1
    """The revision of the last event that was pushed to the subscribers."""
    subscribers: "set[Subscription]" = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscriber of a session."""

    topic: Topic
    rows: int
    after: int = -1
    """The revision of the last event that it was given."""
    missed: int = 0
    """The `changes` of a gap that is its next notice; 0 if there is no gap."""
    behind: bool = True
    """Whether the store may hold events that are neither given nor in the buffer."""
    buffer: deque[Event] = field(default_factory=deque)
    end: End | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, event: Event) -> None:
        """Append an event to the buffer; if it is full, have the event read from the store later."""
        if len(self.buffer) < BUFFER:
            self.buffer.append(event)
        else:
            self.behind = True
        self.wake.set()

    def read_store(self) -> None:
        """Have the subscriber read its next events from the store."""
        self.behind = True
        self.wake.set()

    def finish(self, end: End) -> None:
        """Give it what is in the buffer, and then `end` as the last notice."""
        self.behind = False
        self.end = end
        self.wake.set()

    def place(self, look: EventPage, last: EventId | None, kept: bool) -> None:
        """Set where it begins: after `last`, with the first event that is kept, or with the next event."""
        if last is not None and last.incarnation == look.incarnation:
            self.after = last.revision
        elif last is not None:
            self.missed = -1
        elif not kept:
            self.after = look.revision

    def refill(self, look: EventPage) -> None:
        """Replace the buffer by events that were read from the store after the revision `self.after`."""
        if look.revision < self.after:  # the store has lost events that were given
            self.after, self.missed = look.revision, -1
            self.topic.after = min(self.topic.after, look.revision)
        if not look.events and look.revision > self.after:
            self.after, self.missed = look.revision, look.revision - self.after
        # events that were pushed during the read are among these, or `behind` has them read again
        self.buffer = deque(look.events)
        last = look.events[-1].revision if look.events else look.revision
        self.behind = last < max(look.revision, self.topic.after)

    def next_notices(self) -> Iterator[Notice]:
        """Take the next notices out of the buffer: none, one, or a gap and the event after it."""
        if self.missed:
            missed, self.missed = self.missed, 0
            yield Gap(missed)
        elif self.buffer:
            event = self.buffer.popleft()
            if event.revision > self.after + 1:
                yield Gap(event.revision - self.after - 1)
            if event.revision > self.after:
                self.after = event.revision
                assert self.topic.incarnation is not None
                yield NewEvent(EventId(self.topic.incarnation, event.revision), event)

    async def woken(self, timeout_s: float) -> bool:
        """Wait until there is something to do for this subscriber; return False after `timeout_s` without it."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.wake.wait()
        except TimeoutError:
            return False
        self.wake.clear()
        return True
