"""Hints: channels come and go while Redis is listened to, and a connection that is lost or silent is made again."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from cellar.store.connection.notifications import NotificationListener
from cellar.store.topology.factory import find_pubsub_server
from tests.redis_cluster import RedisCluster
from tests.redis_process import RedisProcess
from tests.redis_sentinel import RedisSentinel

pytestmark = pytest.mark.anyio

StartListener = Callable[..., NotificationListener]


@pytest.fixture
async def start_listener() -> AsyncIterator[StartListener]:
    """Yield a maker of hints: `start_listener(url)`."""
    started: list[NotificationListener] = []

    def start(url: str, **options: float) -> NotificationListener:
        listener = NotificationListener(find_pubsub_server(url), **options)
        started.append(listener)
        return listener

    yield start
    for listener in started:
        await listener.aclose()


async def notified(listener: NotificationListener, *channels: bytes) -> set[bytes]:
    """Return the channels that were notified until all of these were."""
    found: set[bytes] = set()
    async with asyncio.timeout(20):
        while not found.issuperset(channels):
            found |= await listener.changed()
    return found


async def test_channels_come_and_go(redis_process: RedisProcess, start_listener: StartListener) -> None:
    listener = start_listener(redis_process.url)
    listener.follow(b"hints-1")
    await notified(listener, b"hints-1")
    listener.follow(b"hints-2")
    listener.follow(b"hints-3")
    assert await notified(listener, b"hints-2", b"hints-3") == {b"hints-2", b"hints-3"}
    listener.unfollow(b"hints-2")
    listener.follow(b"hints-4")
    assert await notified(listener, b"hints-4") == {b"hints-4"}
    with redis_process.client() as client:
        for name in ("hints-2", "hints-3"):
            client.publish(name, b"")
        assert await notified(listener, b"hints-3") == {b"hints-3"}
        assert client.pubsub_numsub("hints-2", "hints-3") == [(b"hints-2", 0), (b"hints-3", 1)]


async def test_a_channel_that_is_followed_again_counts_as_heard_again(
    redis_url: str, start_listener: StartListener
) -> None:
    listener = start_listener(redis_url)
    for _ in range(3):
        listener.follow(b"hints-again")
        assert await notified(listener, b"hints-again") == {b"hints-again"}
    listener.unfollow(b"hints-again")
    listener.follow(b"hints-again")
    assert await notified(listener, b"hints-again") == {b"hints-again"}


async def test_a_silent_connection_that_lives_is_kept(
    redis_process: RedisProcess, start_listener: StartListener
) -> None:
    listener = start_listener(redis_process.url, quiet_s=0.05)
    listener.follow(b"one")
    await notified(listener, b"one")
    await asyncio.sleep(0.5)
    with redis_process.client() as client:
        assert client.info("stats")["total_connections_received"] <= 3
        client.publish("one", b"")
    assert await notified(listener, b"one") == {b"one"}


async def test_a_redis_that_says_nothing_any_more_is_given_up(
    redis_process: RedisProcess, start_listener: StartListener
) -> None:
    listener = start_listener(redis_process.url, quiet_s=0.1)
    listener.follow(b"one")
    await notified(listener, b"one")
    redis_process.signal(signal.SIGSTOP)
    await asyncio.sleep(0.5)
    redis_process.signal(signal.SIGCONT)
    assert await notified(listener, b"one") == {b"one"}, "it has subscribed again"


async def test_hints_end_whenever_they_are_closed(redis_url: str) -> None:
    """While connecting, while subscribing and while reading."""
    for turns in range(40):
        listener = NotificationListener(find_pubsub_server(redis_url))
        listener.follow(b"hints-closed")
        for _ in range(turns):
            await asyncio.sleep(0)
        listener.follow(b"hints-closed-2")
        listener.unfollow(b"hints-closed")
        async with asyncio.timeout(5):
            await listener.aclose()


async def test_every_node_of_a_cluster_tells_what_is_said_on_another(
    redis_cluster: RedisCluster, start_listener: StartListener
) -> None:
    listener = start_listener(redis_cluster.url)
    listener.follow(b"one")
    await notified(listener, b"one")
    for node in redis_cluster.nodes:
        node("PUBLISH", "one", "")
        assert await notified(listener, b"one") == {b"one"}


async def test_the_primary_is_asked_that_the_sentinels_name(
    redis_sentinel: RedisSentinel, start_listener: StartListener
) -> None:
    listener = start_listener(redis_sentinel.url)
    listener.follow(b"one")
    assert await notified(listener, b"one") == {b"one"}
    redis_sentinel.primary("PUBLISH", "one", "")
    assert await notified(listener, b"one") == {b"one"}


async def test_secrets_of_the_url_are_used(redis_process: RedisProcess, start_listener: StartListener) -> None:
    with redis_process.client() as client:
        client.execute_command("ACL", "SETUSER", "listener", "on", ">s e/cret", "~*", "&*", "+@all")
        client.config_set("requirepass", "other")
    url = f"unix://listener@{redis_process.socket}?password=s%20e%2Fcret"
    listener = start_listener(url)
    listener.follow(b"one")
    assert await notified(listener, b"one") == {b"one"}
