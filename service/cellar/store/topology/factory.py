"""Makes Redis clients from a URL: a router for the asynchronous stores, a redis-py client for the synchronous ones.

There are two clients for a cluster: `Cluster` keeps commits in order and is asynchronous. Models, jobs and blobs are
also used by training workers, which are synchronous and fork, and therefore use redis-py's client. Retries of redis-py
are off everywhere: by default it sends a command up to ten times, and a command that may have been applied must only
be repeated by code that can recognise it.
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

from cellar.errors import StartupError
from cellar.store.connection import requirements
from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.errors import CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S
from cellar.store.protocol.url import Address, ClusterAddress, SentinelAddress, parse
from cellar.store.topology.cluster import Cluster
from cellar.store.topology.sentinel import SENTINEL_TIMEOUT_S, Sentinels


def open_router(url: str, *, prefix: str | None = None, reply_timeout_s: float = REPLY_TIMEOUT_S) -> Router:
    """Return a router to the Redis of a URL (`url.py`), not connected yet. Raise SettingsInvalid.

    With the `prefix` of all keys, the rights of the Redis user are checked on each new connection (`rights.py`).
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


def find_pubsub_server(url: str) -> Callable[[], Awaitable[Address]]:
    """Return a function that returns a server for Pub/Sub (`notifications.py`): the primary, or a node of a cluster.

    Each call may return another node, so that a node that is down is skipped the next time. Raise SettingsInvalid.
    """
    address = parse(url)
    if isinstance(address, SentinelAddress):
        return Sentinels(address).primary
    nodes = cycle(address.seeds if isinstance(address, ClusterAddress) else (address,))

    async def find() -> Address:
        """Return the next node in turn."""
        return next(nodes)

    return find


def sync_client(url: str) -> "redis.Redis":
    """Return a client of redis-py, not connected yet, that does not retry; replies are bytes. Raise SettingsInvalid.

    The client of a cluster has the same commands, if all keys of a command share a slot.
    """
    address = parse(url)
    if isinstance(address, ClusterAddress):
        return cast(redis.Redis, _LazyCluster(address))
    if isinstance(address, SentinelAddress):
        return _by_sentinel(address)
    return redis.Redis.from_url(url, retry=_never(), **_PATIENCE)


def check_version(client: "redis.Redis") -> None:
    """Raise StartupError if the server of a client is too old, or redis.RedisError."""
    found: Any = client.info("server")  # of a cluster, by node
    for facts in found.values() if isinstance(client, _LazyCluster) else (found,):
        if requirements.is_too_old(facts):
            raise StartupError(f"{requirements.unmet(facts)} (CELLAR_REDIS_URL, CELLAR_QUEUE_URL)")


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
    # redis-py is typed in parts
    primary: redis.Redis = sentinels.master_for(address.service, **options)  # type: ignore[no-untyped-call]
    return primary


class _PrimaryConnection(SentinelManagedConnection):
    """A connection that closes when a read is interrupted, or the next command would get that reply."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply."""
        return super().read_response(*args, **{"disconnect_on_error": True, **options})


class _TlsPrimaryConnection(_PrimaryConnection, SSLConnection):
    """A primary connection with TLS."""


class _LazyCluster:
    """A client of a cluster that is created at the first command, because redis-py's connects in its constructor."""

    def __init__(self, address: ClusterAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._client: _ClusterClient | None = None

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._client is None:
                options = {**_PATIENCE, **self._address.seeds[0].keywords()}
                # redis-py is typed in parts
                seeds = [ClusterNode(each.host, each.port) for each in self._address.seeds]  # type: ignore[no-untyped-call]
                self._client = _ClusterClient(startup_nodes=seeds, retry=_never(), **options)
        return getattr(self._client, name)

    def close(self) -> None:
        """Close the client, if it was created."""
        with self._lock:
            if self._client is not None:
                self._client.close()


class _ClusterClient(RedisCluster):
    """Follows ASK redirects to nodes that own no slot yet; redis-py's client does not know those."""

    def get_node(self, host: str | None = None, port: int | None = None, node_name: str | None = None) -> Any:
        """Return the node of an address or a name, a new one for the name of an unknown node."""
        # redis-py is typed in parts
        node: ClusterNode | None = super().get_node(host, port, node_name)  # type: ignore[no-untyped-call]
        if node is None and node_name is not None:
            host, _, name = node_name.rpartition(":")
            node = ClusterNode(host, int(name), PRIMARY)  # type: ignore[no-untyped-call]  # redis-py is typed in parts
        return node
