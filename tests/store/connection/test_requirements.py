"""Servers that are too old, or that evict keys, keep no sessions; steps are refused as well, not only `/readyz`."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cellar.errors import StoreUnavailable
from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.requirements import facts, unmet
from cellar.store.protocol.url import Address
from tests.redis_process import RedisProcess

pytestmark = pytest.mark.anyio

OLD = b"# Server\r\nredis_version:6.0.16\r\n"


@pytest.fixture
async def old_redis() -> AsyncIterator[Address]:
    """Yield the address of a server that answers each command with what an old Redis says of itself."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"*"):
                writer.write(b"$%d\r\n%s\r\n" % (len(OLD), OLD))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield Address.parse(f"redis://{host}:{port}")
    server.close()


@pytest.mark.parametrize("version", ["6.2.0", "7.4.1", "8.2.0", "10.0.0"])
def test_a_new_one_without_a_limit_will_do(version: str) -> None:
    assert unmet({"redis_version": version, "maxmemory": "0", "maxmemory_policy": "allkeys-lru"}) is None


@pytest.mark.parametrize("version", ["2.8.24", "5.0.14", "6.0.16"])
def test_an_old_one_will_not(version: str) -> None:
    assert unmet({"redis_version": version}) == f"Redis {version} is too old: 6.2 or newer is needed"


def test_one_that_tells_nothing_is_taken_at_its_word() -> None:
    assert unmet(facts()) is None


async def test_a_connection_to_an_old_one_is_not_used(old_redis: Address, caplog: pytest.LogCaptureFixture) -> None:
    link = RedisConnection(old_redis)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=r"6\.0\.16 is too old") as refused:
            await link.call([(b"PING",)])
        assert (refused.value.outcome, refused.value.is_unfit) == ("not_applied", True)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"Redis at {old_redis} cannot be used: Redis 6.0.16 is too old: 6.2 or newer is needed"]
    await link.aclose()


async def test_a_connection_to_one_that_evicts_is_not_used(redis_process: RedisProcess) -> None:
    link = RedisConnection(Address.parse(redis_process.url))
    assert await link.call([(b"PING",)]) == [b"PONG"]
    with redis_process.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    link.drop()
    with pytest.raises(StoreUnavailable, match="maxmemory-policy allkeys-lru"):
        await link.call([(b"PING",)])
    with redis_process.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
    assert await link.call([(b"PING",)]) == [b"PONG"]
    await link.aclose()
