"""Every store is tested on one server and on a cluster."""

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import open_router
from tests.redis_cluster import RedisCluster

OpenSessions = Callable[..., RedisSessions]


@pytest.fixture(params=["server", "cluster"])
def redis_url(request: pytest.FixtureRequest, redis_url: str) -> str:
    """Return the URL of the shared Redis, then that of the cluster."""
    if request.param == "server":
        return redis_url
    cluster: RedisCluster = request.getfixturevalue("redis_cluster")
    return cluster.url


@pytest.fixture
async def open_sessions() -> AsyncIterator[OpenSessions]:
    """Yield a maker of session stores under one random prefix: `open_sessions(url, ...)`."""
    prefix = f"test-{secrets.token_hex(6)}"
    opened: list[RedisSessions] = []

    def make(url: str, *, reply_timeout_s: float = 4.0, **options: Any) -> RedisSessions:
        route = open_router(url, reply_timeout_s=reply_timeout_s)
        opened.append(RedisSessions(route, prefix=prefix, **options))
        return opened[-1]

    yield make
    for store in opened:
        await store.aclose()


@pytest.fixture
def sessions(redis_url: str, open_sessions: OpenSessions) -> RedisSessions:
    """Return a store on the shared Redis."""
    return open_sessions(redis_url)
