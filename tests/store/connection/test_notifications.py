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

StartHints = Callable[..., NotificationListener]


@pytest.fixture
async def start_hints() -> AsyncIterator[StartHints]:
    """Yield a maker of hints: `start_hints(url)`."""
    started: list[NotificationListener] = []

    def start(url: str, **options: float) -> NotificationListener:
        hints = NotificationListener(find_pubsub_server(url), **options)
        started.append(hints)
        return hints

    yield start
    for hints in started:
        await hints.aclose()


async def heard(hints: NotificationListener, *channels: bytes) -> set[bytes]:
    """Return what is heard until all of these channels are."""
    found: set[bytes] = set()
    async with asyncio.timeout(20):
        while not found.issuperset(channels):
            found |= await hints.changed()
    return found


async def test_channels_come_and_go(redis_process: RedisProcess, start_hints: StartHints) -> None:
    hints = start_hints(redis_process.url)
    hints.follow(b"hints-1")
    await heard(hints, b"hints-1")
    hints.follow(b"hints-2")
    hints.follow(b"hints-3")
    assert await heard(hints, b"hints-2", b"hints-3") == {b"hints-2", b"hints-3"}
    hints.unfollow(b"hints-2")
    hints.follow(b"hints-4")
    assert await heard(hints, b"hints-4") == {b"hints-4"}
    with redis_process.client() as client:
        for name in ("hints-2", "hints-3"):
            client.publish(name, b"")
        assert await heard(hints, b"hints-3") == {b"hints-3"}
        assert client.pubsub_numsub("hints-2", "hints-3") == [(b"hints-2", 0), (b"hints-3", 1)]


async def test_a_channel_that_is_followed_again_counts_as_heard_again(redis_url: str, start_hints: StartHints) -> None:
    hints = start_hints(redis_url)
    for _ in range(3):
        hints.follow(b"hints-again")
        assert await heard(hints, b"hints-again") == {b"hints-again"}
    hints.unfollow(b"hints-again")
    hints.follow(b"hints-again")
    assert await heard(hints, b"hints-again") == {b"hints-again"}


async def test_a_silent_connection_that_lives_is_kept(redis_process: RedisProcess, start_hints: StartHints) -> None:
    hints = start_hints(redis_process.url, quiet_s=0.05)
    hints.follow(b"one")
    await heard(hints, b"one")
    await asyncio.sleep(0.5)
    with redis_process.client() as client:
        assert client.info("stats")["total_connections_received"] <= 3
        client.publish("one", b"")
    assert await heard(hints, b"one") == {b"one"}


async def test_a_redis_that_says_nothing_any_more_is_given_up(
    redis_process: RedisProcess, start_hints: StartHints
) -> None:
    hints = start_hints(redis_process.url, quiet_s=0.1)
    hints.follow(b"one")
    await heard(hints, b"one")
    redis_process.signal(signal.SIGSTOP)
    await asyncio.sleep(0.5)
    redis_process.signal(signal.SIGCONT)
    assert await heard(hints, b"one") == {b"one"}, "it has subscribed again"


async def test_hints_end_whenever_they_are_closed(redis_url: str) -> None:
    """While connecting, while subscribing and while reading."""
    for turns in range(40):
        hints = NotificationListener(find_pubsub_server(redis_url))
        hints.follow(b"hints-closed")
        for _ in range(turns):
            await asyncio.sleep(0)
        hints.follow(b"hints-closed-2")
        hints.unfollow(b"hints-closed")
        async with asyncio.timeout(5):
            await hints.aclose()


async def test_every_node_of_a_cluster_tells_what_is_said_on_another(
    redis_cluster: RedisCluster, start_hints: StartHints
) -> None:
    hints = start_hints(redis_cluster.url)
    hints.follow(b"one")
    await heard(hints, b"one")
    for node in redis_cluster.nodes:
        node("PUBLISH", "one", "")
        assert await heard(hints, b"one") == {b"one"}


async def test_the_primary_is_asked_that_the_sentinels_name(
    redis_sentinel: RedisSentinel, start_hints: StartHints
) -> None:
    hints = start_hints(redis_sentinel.url)
    hints.follow(b"one")
    assert await heard(hints, b"one") == {b"one"}
    redis_sentinel.primary("PUBLISH", "one", "")
    assert await heard(hints, b"one") == {b"one"}


async def test_secrets_of_the_url_are_used(redis_process: RedisProcess, start_hints: StartHints) -> None:
    with redis_process.client() as client:
        client.execute_command("ACL", "SETUSER", "listener", "on", ">s e/cret", "~*", "&*", "+@all")
        client.config_set("requirepass", "other")
    url = f"unix://listener@{redis_process.socket}?password=s%20e%2Fcret"
    hints = start_hints(url)
    hints.follow(b"one")
    assert await heard(hints, b"one") == {b"one"}
