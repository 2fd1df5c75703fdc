"""A primary that Sentinel names: found, lost, and found again where it is then."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
import redis
from redis.sentinel import SentinelConnectionPool

from cellar.errors import StoreUnavailable
from cellar.store.catalogue.models import RedisModels
from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.protocol.url import Address, SentinelAddress, parse
from cellar.store.topology.factory import open_router, sync_client
from tests.redis_sentinel import RedisSentinel
from tests.store.conftest import OpenSessions
from tests.store.history import History
from tests.store.session_values import a_record

pytestmark = pytest.mark.anyio


@pytest.fixture
async def route(redis_sentinel: RedisSentinel) -> AsyncIterator[Router]:
    """Yield a route to the primary."""
    route = open_router(redis_sentinel.url)
    yield route
    await route.aclose()


async def test_the_primary_is_found(route: Router, redis_sentinel: RedisSentinel) -> None:
    (reply,) = (await route.send([(b"INFO", b"server")])).replies
    assert isinstance(reply, bytes)
    assert b"tcp_port:%d\r" % redis_sentinel.primary.port in reply


async def test_ping_tells_of_the_replica(redis_sentinel: RedisSentinel, open_sessions: OpenSessions) -> None:
    told = await open_sessions(redis_sentinel.url).ping()
    assert (told["durability"], told["primaries"], told["replicas"]) == ("always", 1, 1)


async def test_a_service_that_no_sentinel_knows_is_named(redis_sentinel: RedisSentinel) -> None:
    route = open_router(redis_sentinel.url.replace("/main", "/other"))
    (reply,) = (await route.send([(b"PING",)])).replies
    assert isinstance(reply, StoreUnavailable)
    assert reply.outcome == "not_applied"
    assert "'other'" in reply.detail


async def test_who_is_no_primary_gets_no_commands(redis_sentinel: RedisSentinel) -> None:
    """As when a sentinel still names one that has become a replica meanwhile."""
    address = parse(redis_sentinel.url)
    assert isinstance(address, SentinelAddress)

    async def find() -> Address:
        return address.primary.at("127.0.0.1", redis_sentinel.replica.port)

    (reply,) = (await RedisConnection(address.primary, find=find).send([(b"PING",)])).replies
    assert isinstance(reply, StoreUnavailable)
    assert reply.outcome == "not_applied"


def test_a_client_whose_read_is_interrupted_gives_no_client_the_wrong_reply(redis_sentinel: RedisSentinel) -> None:
    """A worker that is asked to stop leaves its wait by an exception, and says goodbye over the same pool."""

    class InterruptedRead(Exception):
        """What the handler of a signal raises."""

    def interrupt(*_: object) -> None:
        raise InterruptedRead

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with closing(sync_client(redis_sentinel.url)) as client:
            client.set("a", "1")
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(InterruptedRead):
                client.blpop(["nothing"], 1)
            assert client.get("a") == b"1"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_client_of_a_service_with_tls_speaks_tls_to_all() -> None:
    options = "ssl_cert_reqs=none&sentinel_password=theirs"
    with closing(sync_client(f"rediss+sentinel://:ours@a,b:1/main/2?{options}")) as client:
        pool = client.connection_pool
        assert isinstance(pool, SentinelConnectionPool)
        assert issubclass(pool.connection_class, redis.SSLConnection)
        assert (pool.connection_kwargs["password"], pool.connection_kwargs["db"]) == ("ours", 2)
        for sentinel, port in zip(pool.sentinel_manager.sentinels, (26379, 1), strict=True):
            there = sentinel.connection_pool
            assert issubclass(there.connection_class, redis.SSLConnection)
            assert (there.connection_kwargs["password"], there.connection_kwargs["port"]) == ("theirs", port)
            assert there.connection_kwargs["ssl_cert_reqs"] == "none"
        assert isinstance(pool.make_connection(), redis.SSLConnection)


async def test_a_replica_takes_over_under_load(redis_sentinel: RedisSentinel, open_sessions: OpenSessions) -> None:
    """What the replica had (WAIT) is there; of what it had not, the session may stand before it, and says so."""
    sessions = open_sessions(redis_sentinel.url, patience_s=60)
    histories = [History(a_record()) for _ in range(4)]
    for history in histories:
        await sessions.create(history.record)
    route, ends = open_router(redis_sentinel.url), asyncio.Event()
    retrying_client = RetryingClient(route, patience_s=60)
    writers = [asyncio.create_task(history.write(sessions, retrying_client, ends)) for history in histories]
    with closing(sync_client(redis_sentinel.url)) as client:
        models = RedisModels(client, "test")
        assert models.names("default") == []
        await asyncio.to_thread(redis_sentinel.fail_over)
        assert models.names("default") == [], "redis-py asks the sentinels again, too"
    for history in histories:
        await history.acknowledges(history.acknowledged + 5)  # they go on by themselves
    ends.set()
    await asyncio.gather(*writers)
    for history in histories:
        assert await sessions.load(history.record.key) == history.last
    await route.aclose()
