"""The port of events on Redis: streams that commits write, read by whoever has had a hint."""

from collections.abc import Mapping, Sequence
from typing import Any

from cellar.errors import StoreCorrupt, StoreUnavailable
from cellar.ports import Event, EventPage, MissingSession, SessionKey
from cellar.store.companions.history import PAGE_BYTES, READ_STREAM, read_fields, read_position, read_revision
from cellar.store.connection.notifications import Find, NotificationListener
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.replies import items, raw
from cellar.store.protocol.resp import Command
from cellar.store.sessions.record_codec import unpack_incarnation, unpack_revision

PAGE = 256
"""Events of a session in one look."""


class RedisEvents:
    """Implements `cellar.ports.EventStore`. `find` says where hints are to be had."""

    def __init__(self, router: Router, find: Find, *, prefix: str, page: int = PAGE) -> None:
        self._client = RetryingClient(router)
        self._hints = NotificationListener(find)
        self._keys = SessionKeys(prefix)
        self._page = page
        self._followed: dict[bytes, SessionKey] = {}

    async def read(self, after: Mapping[SessionKey, int]) -> Mapping[SessionKey, EventPage | MissingSession]:
        """Return sessions with what came after these revisions (-1: from the first that is kept)."""
        if not after:
            return {}
        replies = await self._client.read([self._command(key, revision) for key, revision in after.items()])
        return {key: _look(items(reply)) for key, reply in zip(after, replies, strict=True)}

    def follow(self, key: SessionKey) -> None:
        """Tell of this session from now on."""
        channel = self._keys.events(key)
        self._followed[channel] = key
        self._hints.follow(channel)

    def unfollow(self, key: SessionKey) -> None:
        """Tell of this session no more."""
        channel = self._keys.events(key)
        self._followed.pop(channel, None)
        self._hints.unfollow(channel)

    async def changed(self) -> set[SessionKey]:
        """Wait until one of those that are followed may have changed, and return all that may have."""
        heard = await self._hints.heard()
        return {self._followed[channel] for channel in heard if channel in self._followed}

    async def tell_expired(self, keys: Sequence[SessionKey]) -> None:
        """Give a hint that these sessions have expired. Raise StoreUnavailable."""
        answers = await self._client.execute([(b"PUBLISH", self._keys.events(key), b"") for key in keys])
        for answer in answers:
            if isinstance(answer.reply, StoreUnavailable):
                raise answer.reply

    async def aclose(self) -> None:
        """Listen no more."""
        await self._hints.aclose()

    def _command(self, key: SessionKey, after: int) -> Command:
        keys = (self._keys.record(key), self._keys.tombstone(key), self._keys.events(key))
        limits = (b"%d-0" % (after + 1), b"+", b"%d" % self._page, b"%d" % PAGE_BYTES)
        return READ_STREAM.call(keys, *limits)


def _look(reply: list[Any]) -> EventPage | MissingSession:
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
