"""The events of all watched sessions of this process, read from the store by one task and pushed to the subscribers.

The store announces which sessions may have changed. New events of a session are read once, however many subscribers it
has. Announcements can be lost, so all watched sessions are also read every few seconds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from itertools import islice

from cellar.errors import CellarError, NotKept, Overloaded, SessionExpired, SessionUnknown, StoreUnavailable
from cellar.ports import EventPage, EventStore, MissingSession, SessionKey, SessionStore
from cellar.sessions.events.subscription import End, EventId, Heartbeat, Notice, Subscription, Topic

logger = logging.getLogger(__name__)

POLL_S = 5.0
"""Seconds between two reads of all watched sessions: an announcement can be lost, and expiry is not announced."""

HEARTBEAT_S = 15.0
"""Seconds without an event after which a heartbeat is sent: proxies close connections that are silent for longer."""

READ_AT_ONCE = 256
"""Sessions in one read of the store."""

NO_EVENTS_AFTER = 2**62
"""A revision that no session reaches: a read after it returns the present position of a session, without events."""

MAX_SUBSCRIBERS = 10_000
"""The default limit of a process. Each subscriber costs some kilobytes and a connection."""


class EventHub:
    """All subscriptions of this process. Runs on the event loop."""

    def __init__(
        self,
        store: SessionStore,
        events: EventStore,
        *,
        poll_s: float = POLL_S,
        heartbeat_s: float = HEARTBEAT_S,
        most: int = MAX_SUBSCRIBERS,
    ) -> None:
        self._store = store
        self._events = events
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._most = most
        self._count = 0
        self._topics: dict[SessionKey, Topic] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def subscribers(self) -> int:
        """The number of subscriptions."""
        return self._count

    async def subscribe(self, key: SessionKey, last: EventId | None = None, *, kept: bool = False) -> Subscription:
        """Subscribe to a session: to the events after `last`, to all that are `kept`, or to those from now on.

        The caller must end the subscription with `unsubscribe`.

        Raise NotKept if the session has no events, Overloaded, SessionUnknown, SessionExpired, or StoreUnavailable.
        """
        if self._stopping or self._count >= self._most:
            raise Overloaded("the service is stopping" if self._stopping else "the service has too many subscribers")
        meta = (await self._store.summary(key)).meta
        if not meta.events:
            raise NotKept("the session has no events: create it with `events`")
        subscription = Subscription(self._topic(key), meta.batch_size)
        subscription.topic.subscribers.add(subscription)
        self._count += 1
        try:
            await self._begin(subscription, last, kept)
        except BaseException:
            self.unsubscribe(subscription)
            raise
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription. A second call does nothing."""
        topic = subscription.topic
        if subscription not in topic.subscribers:
            return
        topic.subscribers.discard(subscription)
        self._count -= 1
        if not topic.subscribers and self._topics.get(topic.key) is topic:
            del self._topics[topic.key]
            self._events.unfollow(topic.key)

    async def notices(self, subscription: Subscription) -> AsyncIterator[Notice]:
        """Yield the notices of a subscription until its end. Raise StoreUnavailable or StoreCorrupt."""
        while True:
            if subscription.missed or subscription.buffer:
                for notice in subscription.next_notices():
                    yield notice
            elif subscription.behind:
                await self._catch_up(subscription)
            elif subscription.end is not None:
                yield subscription.end
                return
            elif not await subscription.woken(self._heartbeat_s):
                yield Heartbeat()

    async def aclose(self) -> None:
        """End all subscriptions with the notice that the service stops."""
        self._stopping = True
        for topic in list(self._topics.values()):
            for subscription in topic.subscribers:
                subscription.finish(End("stopping"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # --- one subscriber ---------------------------------------------------------------------------------------------

    def _topic(self, key: SessionKey) -> Topic:
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key)
            self._events.follow(key)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="events")
        return topic

    async def _begin(self, subscription: Subscription, last: EventId | None, kept: bool) -> None:
        """Read the present position of the session, and set the position at which the subscription begins."""
        topic = subscription.topic
        look = (await self._events.read({topic.key: NO_EVENTS_AFTER}))[topic.key]
        if isinstance(look, MissingSession):
            raise _gone(topic.key, look)
        if topic.incarnation is None:
            topic.incarnation, topic.after = look.incarnation, look.revision
        elif topic.incarnation != look.incarnation:
            self._end(topic, End("deleted"))
            raise Overloaded("another session has just taken the name")
        subscription.place(look, last, kept)

    async def _catch_up(self, subscription: Subscription) -> None:
        """Fill the buffer from the store with the events after the last one that the subscriber was given."""
        topic = subscription.topic
        subscription.behind = False
        look = (await self._events.read({topic.key: subscription.after}))[topic.key]
        if isinstance(look, MissingSession) or look.incarnation != topic.incarnation:
            self._end(topic, _end_of(look))
        else:
            subscription.refill(look)

    # --- all of them ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._poll_s
        while True:
            keys: set[SessionKey] = set()
            try:
                try:
                    async with asyncio.timeout_at(due):
                        keys = await self._events.changed()
                except TimeoutError:
                    due = loop.time() + self._poll_s
                    keys = set(self._topics)
                await self._distribute(keys)
            except CellarError:  # the store is unavailable; the next poll finds the events
                await asyncio.sleep(min(1.0, self._poll_s))
            except Exception:  # every subscriber of the process depends on this task, so it survives faults
                logger.exception("the events of watched sessions could not be read")
                await asyncio.sleep(min(1.0, self._poll_s))

    async def _distribute(self, keys: set[SessionKey]) -> None:
        """Read the new events of these sessions and push them to the subscribers, until there are none."""
        while keys:
            unfinished: set[SessionKey] = set()
            waiting = iter(keys)
            while some := list(islice(waiting, READ_AT_ONCE)):
                topics = [self._topics[key] for key in some if key in self._topics]
                looks = await self._read({topic.key: topic.after for topic in topics if topic.incarnation is not None})
                unfinished |= {each.key for each in topics if each.key in looks and self._push(each, looks[each.key])}
            keys = unfinished

    async def _read(self, after: Mapping[SessionKey, int]) -> Mapping[SessionKey, EventPage | MissingSession]:
        """Return the stored events after these revisions, without sessions that subscribers must read themselves."""
        try:
            return await self._events.read(after)
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("the events of %d watched sessions could not be read together", len(after))
        looks: dict[SessionKey, EventPage | MissingSession] = {}
        for key, revision in after.items():
            try:
                looks |= await self._events.read({key: revision})
            except StoreUnavailable:
                raise
            except Exception:
                topic = self._topics.get(key)
                for subscription in () if topic is None else topic.subscribers:
                    subscription.read_store()
        return looks

    def _push(self, topic: Topic, look: EventPage | MissingSession) -> bool:
        """Push the new events of a session to its subscribers, and return whether the store has more."""
        if isinstance(look, MissingSession) or look.incarnation != topic.incarnation:
            self._end(topic, _end_of(look))
            return False
        if look.revision < topic.after:  # the store has lost events that were pushed: each subscriber finds its gap
            topic.after = look.revision
            for subscription in topic.subscribers:
                subscription.read_store()
        for event in look.events:
            if event.revision > topic.after:
                topic.after = event.revision
                for subscription in topic.subscribers:
                    subscription.push(event)
        return bool(look.events) and topic.after < look.revision

    def _end(self, topic: Topic, end: End) -> None:
        """End all subscriptions of a session."""
        if self._topics.get(topic.key) is topic:
            del self._topics[topic.key]
            self._events.unfollow(topic.key)
        for subscription in topic.subscribers:
            subscription.finish(end)


def _end_of(look: EventPage | MissingSession) -> End:
    return End("expired" if isinstance(look, MissingSession) and look.expired else "deleted")


def _gone(key: SessionKey, away: MissingSession) -> CellarError:
    if away.expired:
        return SessionExpired(f"session {key.session} has expired")
    return SessionUnknown(f"there is no session {key.session}")
