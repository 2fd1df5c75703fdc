"""From a URL to what speaks to Redis: a route for the sessions, a redis-py client for everything else.

redis-py's own retries are off everywhere: its default sends a command again up to ten times, and a command that may
have been applied must only be sent again by code that knows how to recognise it.
"""

import threading
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import PRIMARY, ClusterNode, RedisCluster
from redis.connection import SSLConnection
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection

from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.errors import CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S
from cellar.store.protocol.url import Address, ClusterAddress, SentinelAddress, parse
from cellar.store.topology.cluster import Cluster
from cellar.store.topology.sentinel import SENTINEL_TIMEOUT_S, Sentinels


def open_router(url: str, *, prefix: str | None = None, reply_timeout_s: float = REPLY_TIMEOUT_S) -> Router:
    """Return the route to the Redis of a URL (`url.py`); nothing is connected yet. Raise SettingsInvalid.

    With the `prefix` of all keys each connection is asked first for the rights of its user (`rights.py`).
    """
    address, probe = parse(url), None if prefix is None else SessionKeys(prefix).probe
    if isinstance(address, ClusterAddress):
        return Cluster(address, probe=probe, reply_timeout_s=reply_timeout_s)
    sentinels = Sentinels(address) if isinstance(address, SentinelAddress) else None
    return RedisConnection(
        address.primary if isinstance(address, SentinelAddress) else address,
        find=None if sentinels is None else sentinels.primary,
        probe=probe,
        reply_timeout_s=reply_timeout_s,
    )


def find_hints(url: str) -> Callable[[], Awaitable[Address]]:
    """Return a function that finds a server to subscribe at (`notifications.py`): the primary, or a node of a cluster.

    Each call may tell another node, so that one that is down is passed over the next time. Raise SettingsInvalid.
    """
    address = parse(url)
    if isinstance(address, SentinelAddress):
        return Sentinels(address).primary
    nodes = cycle(address.seeds if isinstance(address, ClusterAddress) else (address,))

    async def find() -> Address:
        return next(nodes)

    return find


def sync_client(url: str) -> "redis.Redis":
    """Return a client that never sends a command twice that may have been applied; answers are bytes.

    Nothing is connected yet. Raise SettingsInvalid. A client of a cluster has the commands of any other, as far as
    all keys of a command share a slot.
    """
    address = parse(url)
    if isinstance(address, ClusterAddress):
        return cast(redis.Redis, _LazyCluster(address))
    if isinstance(address, SentinelAddress):
        return _by_sentinel(address)
    return redis.Redis.from_url(url, retry=_never(), **_PATIENCE)


_PATIENCE: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_timeout": REPLY_TIMEOUT_S,
    "protocol": 2,
}


def _never() -> Retry:
    return Retry(NoBackoff(), 0)


def _by_sentinel(address: SentinelAddress) -> redis.Redis:
    first = address.sentinels[0]
    timeouts = {"socket_connect_timeout": SENTINEL_TIMEOUT_S, "socket_timeout": SENTINEL_TIMEOUT_S, "protocol": 2}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        [(each.host, each.port) for each in address.sentinels],
        sentinel_kwargs={**timeouts, **first.keywords(), "retry": _never()},
    )
    kind = _PrimaryConnection if address.primary.tls is None else _TlsPrimaryConnection
    options = {**_PATIENCE, **address.primary.keywords(), "db": address.primary.db, "retry": _never()}
    options = {name: value for name, value in options.items() if name != "ssl"} | {"connection_class": kind}
    primary: redis.Redis = sentinels.master_for(address.service, **options)  # type: ignore[no-untyped-call]
    return primary


class _PrimaryConnection(SentinelManagedConnection):
    """Closes when a read is interrupted, as every other connection of redis-py does.

    Left open, it would give the reply that nobody has read to the next command.
    """

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply."""
        return super().read_response(*args, **{"disconnect_on_error": True, **options})


class _TlsPrimaryConnection(_PrimaryConnection, SSLConnection):
    """The same with TLS."""


class _LazyCluster:
    """A cluster's client that is made with its first command: redis-py's asks for the slots as soon as it is made."""

    def __init__(self, address: ClusterAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._client: _ClusterClient | None = None

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._client is None:
                options = {**_PATIENCE, **self._address.seeds[0].keywords()}
                seeds = [ClusterNode(each.host, each.port) for each in self._address.seeds]  # type: ignore[no-untyped-call]
                self._client = _ClusterClient(startup_nodes=seeds, retry=_never(), **options)
        return getattr(self._client, name)

    def close(self) -> None:
        """Close what has been opened."""
        with self._lock:
            if self._client is not None:
                self._client.close()


class _ClusterClient(RedisCluster):
    """Knows also nodes that own no slot yet: the first that is moved there is asked for by a node's word (ASK)."""

    def get_node(self, host: str | None = None, port: int | None = None, node_name: str | None = None) -> Any:
        """Return the node of an address or a name; one that is not known yet where another node has just named it."""
        node: ClusterNode | None = super().get_node(host, port, node_name)  # type: ignore[no-untyped-call]
        if node is None and node_name is not None:
            host, _, name = node_name.rpartition(":")
            node = ClusterNode(host, int(name), PRIMARY)  # type: ignore[no-untyped-call]
        return node
