"""Watchers: many who want to know what happens to sessions, served by one task.

What a session's changes leave behind is read once for all who watch it, and handed to each in a small buffer. Who is
behind, because it resumes or is slow, reads from the store at its own pace until it has caught up: its buffer is then
empty, and no watcher ever holds up another or the service. Revisions are given out one by one, so a watcher knows what
it has missed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from cellar.errors import CellarError, NotKept, Overloaded, SessionExpired, SessionUnknown, StoreUnavailable
from cellar.ports import Away, Event, EventStore, Look, SessionKey, SessionStore

logger = logging.getLogger(__name__)

LOOK_S = 5.0
"""How often all watched sessions are looked at without a hint: some are lost, and what expires gives none."""

HEARTBEAT_S = 15.0
"""After so long without an event a watcher is told that it is still served: proxies end what is silent for longer."""

AT_ONCE = 256
"""Sessions that are looked at in one call."""

NOTHING = 2**62
"""No session has so many changes, so a look after this revision brings no events."""

BUFFER = 64
"""Events that wait for a watcher. One that has more to come reads them from the store."""

MAX_WATCHERS = 10_000
"""Of a process; each costs some kilobytes and a connection."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The last event that a watcher has seen, and of which session of that name."""

    birth: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Happened:
    """An event."""

    seen: Seen
    event: Event


@dataclass(frozen=True, slots=True)
class Missed:
    """Changes that are no longer kept, or another session than the one that was watched."""

    changes: int
    """How many; -1 if nobody knows: they were of another session of that name, or the store has lost them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is no more, or (`stopping`) this service is going to be: then another one goes on."""

    reason: Literal["expired", "deleted", "stopping"]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing has happened for a while."""


Notice = Happened | Missed | Ended | Quiet


@dataclass(slots=True, eq=False)
class Topic:
    """A session that is watched."""

    key: SessionKey
    birth: bytes | None = None
    after: int = -1
    """The revision up to which its watchers have been told."""
    watchers: "set[Subscription]" = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Subscription:
    """One who watches. `after` is the revision of the last event that it was given."""

    topic: Topic
    rows: int
    after: int = -1
    missed: int = 0
    """What it has to be told next: changes that it has missed, as `Missed` says."""
    behind: bool = True
    """Whether there is more in the store than in the buffer."""
    buffer: deque[Event] = field(default_factory=deque)
    end: Ended | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: Event) -> None:
        """Give it an event, or if it has too many, leave it to look for itself."""
        if len(self.buffer) < BUFFER:
            self.buffer.append(event)
        else:
            self.behind = True
        self.news.set()

    def look_again(self) -> None:
        """Make it look for itself."""
        self.behind = True
        self.news.set()

    def finish(self, end: Ended) -> None:
        """Tell it that there will be no more."""
        self.end = end
        self.news.set()


class EventHub:
    """Everything that is watched in this process. Runs on the event loop."""

    def __init__(
        self,
        store: SessionStore,
        events: EventStore,
        *,
        look_s: float = LOOK_S,
        heartbeat_s: float = HEARTBEAT_S,
        most: int = MAX_WATCHERS,
    ) -> None:
        self._store = store
        self._events = events
        self._look_s = look_s
        self._heartbeat_s = heartbeat_s
        self._most = most
        self._count = 0
        self._topics: dict[SessionKey, Topic] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def watch(self, key: SessionKey, seen: Seen | None = None, *, kept: bool = False) -> Subscription:
        """Begin to watch a session: what came after `seen`, all events that are `kept`, or what comes from now on.

        End it with `leave`.

        Raise NotKept if the session has no events, Overloaded, SessionUnknown, SessionExpired, or StoreUnavailable.
        """
        if self._stopping or self._count >= self._most:
            raise Overloaded("the service is stopping" if self._stopping else "too many are watching already")
        meta = (await self._store.summary(key)).meta
        if not meta.events:
            raise NotKept("the session has no events: create it with `events`")
        watcher = Subscription(self._join(key), meta.batch_size)
        watcher.topic.watchers.add(watcher)
        self._count += 1
        try:
            await self._begin(watcher, seen, kept)
        except BaseException:
            self.leave(watcher)
            raise
        return watcher

    def leave(self, watcher: Subscription) -> None:
        """Watch no more. Does nothing for one that has left."""
        topic = watcher.topic
        if watcher not in topic.watchers:
            return
        topic.watchers.discard(watcher)
        self._count -= 1
        if not topic.watchers and self._topics.get(topic.key) is topic:
            del self._topics[topic.key]
            self._events.unfollow(topic.key)

    async def notices(self, watcher: Subscription) -> AsyncIterator[Notice]:
        """Yield what the watcher is to be told, until the session ends or the service stops."""
        while True:
            if watcher.missed:
                missed, watcher.missed = watcher.missed, 0
                yield Missed(missed)
            elif watcher.buffer:
                event = watcher.buffer.popleft()
                if event.revision > watcher.after + 1:
                    yield Missed(event.revision - watcher.after - 1)
                if event.revision > watcher.after:
                    watcher.after = event.revision
                    yield self._happened(watcher, event)
            elif watcher.behind:
                await self._catch_up(watcher)
            elif watcher.end is not None:
                yield watcher.end
                return
            elif not await self._news(watcher):
                yield Quiet()

    async def aclose(self) -> None:
        """Tell all watchers that the service stops."""
        self._stopping = True
        for topic in list(self._topics.values()):
            for watcher in topic.watchers:
                watcher.behind = False
                watcher.finish(Ended("stopping"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # --- one watcher ------------------------------------------------------------------------------------------------

    def _join(self, key: SessionKey) -> Topic:
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key)
            self._events.follow(key)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="watchers")
        return topic

    async def _begin(self, watcher: Subscription, seen: Seen | None, kept: bool) -> None:
        """Place the watcher in the session's history."""
        topic = watcher.topic
        look = (await self._events.look({topic.key: NOTHING}))[topic.key]
        if isinstance(look, Away):
            raise _gone(topic.key, look)
        if topic.birth is None:
            topic.birth, topic.after = look.birth, look.revision
        elif topic.birth != look.birth:
            self._end(topic, Ended("deleted"))
            raise Overloaded("another session has just taken the name")
        if seen is not None and seen.birth == look.birth:
            watcher.after = seen.revision
        elif seen is not None:
            watcher.missed = -1
        elif not kept:
            watcher.after = look.revision

    async def _catch_up(self, watcher: Subscription) -> None:
        """Fill the buffer from the store with what comes after the last event that the watcher was given."""
        topic = watcher.topic
        watcher.behind = False
        look = (await self._events.look({topic.key: watcher.after}))[topic.key]
        if isinstance(look, Away) or look.birth != topic.birth:
            self._end(topic, _end_of(look))
            return
        if look.revision < watcher.after:  # the store has lost what the watcher has seen
            watcher.after, watcher.missed = look.revision, -1
            topic.after = min(topic.after, look.revision)
        if not look.events and look.revision > watcher.after:
            watcher.after, watcher.missed = look.revision, look.revision - watcher.after
        # what was told meanwhile is in there, or comes again
        watcher.buffer = deque(look.events)
        last = look.events[-1].revision if look.events else look.revision
        watcher.behind = last < max(look.revision, topic.after)

    async def _news(self, watcher: Subscription) -> bool:
        """Wait for news; return whether there are some."""
        try:
            async with asyncio.timeout(self._heartbeat_s):
                await watcher.news.wait()
        except TimeoutError:
            return False
        watcher.news.clear()
        return True

    def _happened(self, watcher: Subscription, event: Event) -> Happened:
        assert watcher.topic.birth is not None
        return Happened(Seen(watcher.topic.birth, event.revision), event)

    # --- all of them ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._look_s
        while True:
            keys: set[SessionKey] = set()
            try:
                try:
                    async with asyncio.timeout_at(due):
                        keys = await self._events.changed()
                except TimeoutError:
                    due = loop.time() + self._look_s
                    keys = set(self._topics)
                await self._look(keys)
            except CellarError:  # the store is away; what has come is found by the next look
                await asyncio.sleep(min(1.0, self._look_s))
            except Exception:  # a fault of our own: all watchers of the process depend on this task
                logger.exception("watched sessions were not looked at")
                await asyncio.sleep(min(1.0, self._look_s))

    async def _look(self, keys: set[SessionKey]) -> None:
        """Hand on what has happened to these sessions."""
        while keys:
            more: set[SessionKey] = set()
            waiting = iter(keys)
            while some := list(islice(waiting, AT_ONCE)):
                topics = [self._topics[key] for key in some if key in self._topics]
                asked = {topic.key: topic.after for topic in topics if topic.birth is not None}
                looks = await self._look_at(asked)
                more |= {each.key for each in topics if each.key in looks and self._hand_on(each, looks[each.key])}
            keys = more

    async def _look_at(self, asked: Mapping[SessionKey, int]) -> Mapping[SessionKey, Look | Away]:
        """Return what there is of these sessions, without those that cannot be read: their watchers look themselves."""
        try:
            return await self._events.look(asked)
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("%d watched sessions could not be looked at together", len(asked))
        looks: dict[SessionKey, Look | Away] = {}
        for key, after in asked.items():
            try:
                looks |= await self._events.look({key: after})
            except StoreUnavailable:
                raise
            except Exception:
                topic = self._topics.get(key)
                for watcher in () if topic is None else topic.watchers:
                    watcher.look_again()
        return looks

    def _hand_on(self, topic: Topic, look: Look | Away) -> bool:
        """Give the watchers of a session what has happened, and return whether there is more in the store."""
        if isinstance(look, Away) or look.birth != topic.birth:
            self._end(topic, _end_of(look))
            return False
        if look.revision < topic.after:  # the store has lost what was told: each watcher finds out what that means
            topic.after = look.revision
            for watcher in topic.watchers:
                watcher.look_again()
        for event in look.events:
            if event.revision > topic.after:
                topic.after = event.revision
                for watcher in topic.watchers:
                    watcher.tell(event)
        return bool(look.events) and topic.after < look.revision

    def _end(self, topic: Topic, end: Ended) -> None:
        """Tell the watchers of a session that it is no more."""
        if self._topics.get(topic.key) is topic:
            del self._topics[topic.key]
            self._events.unfollow(topic.key)
        for watcher in topic.watchers:
            watcher.behind = False
            watcher.finish(end)


def _end_of(look: Look | Away) -> Ended:
    return Ended("expired" if isinstance(look, Away) and look.expired else "deleted")


def _gone(key: SessionKey, away: Away) -> CellarError:
    if away.expired:
        return SessionExpired(f"session {key.session} has expired")
    return SessionUnknown(f"there is no session {key.session}")
