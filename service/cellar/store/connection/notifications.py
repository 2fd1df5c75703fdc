"""Listens to Redis Pub/Sub channels on which commits announce that a session has changed.

A commit of a session with events publishes to the session's channel (`commits/command.py`), and so do its deletion and
its expiry. Redis delivers a message only to present subscribers, so a message may be missed: it is a hint to read the
events, and correctness never depends on it. Every node of a cluster delivers what was published on any of them, so one
connection is enough.

All calls of redis-py's PubSub come from one task: it does not support a command in one task while another one reads.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cellar.errors import CellarError
from cellar.store.protocol.errors import CONNECT_TIMEOUT_S, lost
from cellar.store.protocol.url import Address

Find = Callable[[], Awaitable[Address]]
"""Returns the address of a server to subscribe at. Raises StoreUnavailable."""

QUIET_S = 10.0
"""A connection without a message for this time is sent a PING, and given up if there is no reply in the same time."""

PAUSE_S = 0.5
"""Pause before a lost connection is made again."""


class NotificationListener:
    """Subscribes to channels, and collects those that had a message. It connects when the first channel is added."""

    def __init__(self, find: Find, *, quiet_s: float = QUIET_S) -> None:
        self._find = find
        self._quiet_s = quiet_s
        self._channels: set[bytes] = set()
        self._pending: set[bytes] = set()
        """Channels that were added or removed and for which the command has not been sent yet."""
        self._notified: set[bytes] = set()
        self._news = asyncio.Event()
        self._reading: asyncio.Timeout | None = None
        """The timeout of the present read."""
        self._task: asyncio.Task[None] | None = None

    def follow(self, channel: bytes) -> None:
        """Subscribe to a channel. The confirmation counts as a message: earlier messages may have been missed."""
        self._channels.add(channel)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="notifications")
        self._change(channel)

    def unfollow(self, channel: bytes) -> None:
        """End the subscription to a channel."""
        self._channels.discard(channel)
        self._notified.discard(channel)
        self._change(channel)

    async def changed(self) -> set[bytes]:
        """Wait until there is a message, and return the channels that had one."""
        await self._news.wait()
        self._news.clear()
        channels, self._notified = self._notified, set()
        return channels

    async def aclose(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _change(self, channel: bytes) -> None:
        """Note that a channel was added or removed, and interrupt the read so that the command is sent."""
        self._pending.add(channel)
        if self._reading is not None:
            with suppress(RuntimeError):  # it has ended already
                self._reading.reschedule(0)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (OSError, RedisError, CellarError):  # meanwhile events are polled
                await asyncio.sleep(PAUSE_S)

    async def _listen(self) -> None:
        """Subscribe and read until the connection is lost. Raise OSError, RedisError or StoreUnavailable."""
        where = await self._find()
        async with listening_client(where) as client, client.pubsub() as subscription:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await subscription.connect()
            self._pending = set(self._channels)
            await self._read(subscription)

    async def _read(self, subscription: PubSub) -> None:
        loop, asked = asyncio.get_running_loop(), False
        until_s = loop.time() + self._quiet_s
        while True:
            await self._subscribe(subscription)
            try:
                async with asyncio.timeout_at(until_s) as self._reading:
                    message = await subscription.get_message(timeout=None)
            except TimeoutError:
                if loop.time() < until_s:  # a channel was added or removed
                    continue
                if asked:
                    raise lost("not_applied") from None
                asked = True
                await subscription.ping()
            else:
                asked = False
                self._take(message)
            until_s = loop.time() + self._quiet_s

    async def _subscribe(self, subscription: PubSub) -> None:
        """Subscribe to the channels that were added, and unsubscribe from those that were removed."""
        changed, self._pending = self._pending, set()
        if added := changed & self._channels:
            await subscription.subscribe(*added)
        if removed := changed - self._channels:
            await subscription.unsubscribe(*removed)

    def _take(self, message: dict[str, Any] | None) -> None:
        if message is None:  # redis-py returns None when the operating system has timed the read out
            raise lost("not_applied")
        if message["type"] in ("message", "subscribe") and message["channel"] in self._channels:
            self._notified.add(message["channel"])
            self._news.set()


def listening_client(where: Address) -> Redis:
    """Return redis-py's client of an address, without retries."""
    tls = {name: value for name, value in where.options.items() if name.startswith("ssl_")}
    return Redis(
        host=where.host,
        port=where.port,
        unix_socket_path=where.path,
        ssl=where.tls is not None,
        username=where.username,
        password=where.password,
        client_name="cellar-hints",
        protocol=2,
        socket_timeout=None,  # with one, redis-py writes within wait_for, which loses cancellations before Python 3.12
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0, supported_errors=()),
        **tls,
    )
