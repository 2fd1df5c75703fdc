"""Events of sessions in Redis: streams that commits write, and notifications that a session has changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from cellar.errors import StoreCorrupt, StoreUnavailable
from cellar.metrics.counts import COUNTS
from cellar.ports import Event, EventPage, MissingSession, SessionKey
from cellar.store.companions.history import PAGE_BYTES, READ_STREAM, read_fields, read_position, read_revision
from cellar.store.connection.notifications import Find, NotificationListener
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, items, raw
from cellar.store.sessions.record_codec import unpack_incarnation, unpack_revision

PAGE = 256
"""Most events of a session in one read."""


class RedisEvents:
    """Implements `cellar.ports.EventStore`. `find` returns a server for Pub/Sub."""

    def __init__(self, router: Router, find: Find, *, prefix: str, page: int = PAGE) -> None:
        self._client = RetryingClient(router)
        self._notifications = NotificationListener(find)
        self._keys = SessionKeys(prefix)
        self._page = page
        self._followed: dict[bytes, SessionKey] = {}

    async def read(self, after: Mapping[SessionKey, int]) -> Mapping[SessionKey, EventPage | MissingSession]:
        """Return for each session its events after this revision (-1: from the first that is kept)."""
        if not after:
            return {}
        replies = await self._client.read([self._command(key, revision) for key, revision in after.items()])
        return {key: _page(items(reply)) for key, reply in zip(after, replies, strict=True)}

    def follow(self, key: SessionKey) -> None:
        """Include this session in `changed`."""
        channel = self._keys.events(key)
        self._followed[channel] = key
        self._notifications.follow(channel)

    def unfollow(self, key: SessionKey) -> None:
        """Exclude this session from `changed`."""
        channel = self._keys.events(key)
        self._followed.pop(channel, None)
        self._notifications.unfollow(channel)

    async def changed(self) -> set[SessionKey]:
        """Wait until a followed session may have changed, and return all those that may have since the last call."""
        channels = await self._notifications.changed()
        return {self._followed[channel] for channel in channels if channel in self._followed}

    async def notify_expired(self, keys: Sequence[SessionKey]) -> None:
        """Notify subscribers that these sessions have expired. Raise StoreUnavailable."""
        COUNTS.sessions_expired += len(keys)
        answers = await self._client.execute([(b"PUBLISH", self._keys.events(key), b"") for key in keys])
        for answer in answers:
            if isinstance(answer.reply, StoreUnavailable):
                raise answer.reply

    async def aclose(self) -> None:
        """Close the connection for notifications."""
        await self._notifications.aclose()

    def _command(self, key: SessionKey, after: int) -> Command:
        keys = (self._keys.record(key), self._keys.tombstone(key), self._keys.events(key))
        limits = (b"%d-0" % (after + 1), b"+", b"%d" % self._page, b"%d" % PAGE_BYTES)
        return READ_STREAM.call(keys, *limits)


def _page(reply: list[Any]) -> EventPage | MissingSession:
    what, *rest = reply
    if what == b"gone":
        return MissingSession(expired=bool(rest[0]))
    head = raw(rest[0])
    return EventPage(
        unpack_incarnation(head), unpack_revision(head), [_event(*items(entry)) for entry in items(rest[1])]
    )


def _event(number: object, fields: object) -> Event:
    found = read_fields(fields)
    try:
        return Event(
            revision=read_revision(number),
            kind=found[b"t"].decode(),
            after=read_position(found[b"p"]),
            steps=int(found[b"n"]),
            output=found.get(b"o"),
        )
    except (KeyError, ValueError) as error:
        raise StoreCorrupt("a damaged event of a session") from error
