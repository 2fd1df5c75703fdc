"""A primary that Sentinel names: found, lost, and found again where it is then."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cellar.errors import StoreUnavailable
from cellar.store.address import Address, SentinelAddress, parse
from cellar.store.clients import open_route, sync_client
from cellar.store.exchange import Exchange
from cellar.store.link import Link
from cellar.store.models import RedisModels
from cellar.store.route import Route
from cellar.store.sessions import COMMIT
from tests.redis_sentinel import RedisSentinel
from tests.store.conftest import OpenSessions
from tests.store.history import History
from tests.store.session_values import a_record

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def watched(redis_server_binary: Path) -> Iterator[RedisSentinel]:
    """Yield a primary with a replica and a sentinel, which the tests of this file share."""
    watched = RedisSentinel(redis_server_binary)
    try:
        watched.start()
        yield watched
    finally:
        watched.close()


@pytest.fixture
async def route(watched: RedisSentinel) -> AsyncIterator[Route]:
    """Yield a route to the primary."""
    route = open_route(watched.url)
    yield route
    await route.aclose()


async def test_the_primary_is_found(route: Route, watched: RedisSentinel) -> None:
    (reply,) = (await route.tell([(b"INFO", b"server")])).replies
    assert isinstance(reply, bytes)
    assert b"tcp_port:%d\r" % watched.primary.port in reply


async def test_ping_tells_of_the_replica(watched: RedisSentinel, open_sessions: OpenSessions) -> None:
    told = await open_sessions(watched.url).ping()
    assert (told["durability"], told["primaries"], told["replicas"]) == ("always", 1, 1)


async def test_a_service_that_no_sentinel_knows_is_named(watched: RedisSentinel) -> None:
    route = open_route(watched.url.replace("/main", "/other"))
    (reply,) = (await route.tell([(b"PING",)])).replies
    assert isinstance(reply, StoreUnavailable)
    assert reply.outcome == "not_applied"
    assert "'other'" in reply.detail


async def test_who_is_no_primary_gets_no_commands(watched: RedisSentinel) -> None:
    """As when a sentinel still names one that has become a replica meanwhile."""
    address = parse(watched.url)
    assert isinstance(address, SentinelAddress)

    async def find() -> Address:
        return address.primary.at("127.0.0.1", watched.replica.port)

    (reply,) = (await Link(address.primary, find=find).tell([(b"PING",)])).replies
    assert isinstance(reply, StoreUnavailable)
    assert reply.outcome == "not_applied"


async def test_a_replica_takes_over_under_load(watched: RedisSentinel, open_sessions: OpenSessions) -> None:
    """What the replica had (WAIT) is there; of what it had not, the session may stand before it, and says so."""
    sessions = open_sessions(watched.url, patience_s=60)
    histories = [History(a_record()) for _ in range(4)]
    for history in histories:
        await sessions.create(history.record)
    route, ends = open_route(watched.url), asyncio.Event()
    exchange = Exchange(route, (COMMIT,), patience_s=60)
    writers = [asyncio.create_task(history.write(sessions, exchange, ends)) for history in histories]
    with closing(sync_client(watched.url)) as client:
        models = RedisModels(client, "test")
        assert models.names("default") == []
        await asyncio.to_thread(watched.fail_over)
        assert models.names("default") == [], "redis-py asks the sentinels again, too"
    for history in histories:
        await history.acknowledges(history.acknowledged + 5)  # they go on by themselves
    ends.set()
    await asyncio.gather(*writers)
    for history in histories:
        assert await sessions.load(history.record.key) == history.last
    await route.aclose()
