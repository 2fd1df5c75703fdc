"""Sessions that expire without a request: found by the sweep, reported once, and gone from the listing."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import closing

import pytest

from cellar.errors import StoreUnavailable
from cellar.ports import SessionKey, repeat
from cellar.store.keys import BUCKETS, SessionKeys
from cellar.store.sessions.expiry import ExpirySweeper
from cellar.store.sessions.index import MANY, SPAN
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import sync_client
from tests.redis_process import RedisProcess
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_record
from tests.store.sessions.test_index import neighbours

pytestmark = pytest.mark.anyio


class Calls:
    """Records the calls for expired sessions, and fails on request."""

    def __init__(self) -> None:
        self.expired: list[SessionKey] = []
        self.failing = False

    async def __call__(self, keys: Sequence[SessionKey]) -> None:
        """Note the sessions. Raise StoreUnavailable if `failing` is set."""
        if self.failing:
            raise StoreUnavailable("failing")
        self.expired += keys


@pytest.fixture
def calls() -> Calls:
    """Return the recorder of calls for expired sessions."""
    return Calls()


@pytest.fixture
def store(redis_process: RedisProcess, open_sessions: OpenSessions, calls: Calls) -> RedisSessions:
    """Return a store on an empty Redis."""
    return open_sessions(redis_process.url, expired=calls)


async def create(store: RedisSessions, *names: str) -> list[SessionKey]:
    """Create sessions."""
    records = [a_record(name) for name in names]
    for record in records:
        await store.create(record)
    return [record.key for record in records]


def expire(redis_process: RedisProcess, keys: SessionKeys, *gone: SessionKey) -> None:
    """Let sessions expire at once."""
    with redis_process.client() as client:
        for key in gone:
            assert client.pexpire(keys.record(key), 0)


def listed(redis_process: RedisProcess, keys: SessionKeys) -> set[str]:
    """Return the names in all buckets."""
    with redis_process.client() as client:
        buckets = [client.zrange(keys.bucket("default", bucket), 0, -1) for bucket in range(BUCKETS)]
    return {name.decode() for names in buckets for name in names}


async def redis_cursor(redis_process: RedisProcess, keys: SessionKeys) -> str:
    """Return the place where the next batch begins."""
    with redis_process.client() as client:
        return (client.get(keys.sweep_cursor("default")) or b"").decode()


async def tour(sweeper: ExpirySweeper) -> None:
    """Look at all names of a small listing."""
    for _ in range(BUCKETS // SPAN):
        await sweeper.sweep()


async def test_expired_sessions_are_told_of_and_leave_the_listing(
    store: RedisSessions, redis_process: RedisProcess, calls: Calls
) -> None:
    alive, expired, deleted = await create(store, "alive", "expired", "deleted")
    expire(redis_process, store.keys, expired)
    await store.delete(deleted)
    with redis_process.client() as client:  # as a creation that died in the middle leaves it
        client.zadd(store.keys.bucket_of(SessionKey("default", "unborn")), {"unborn": 0})
    await tour(store.sweeper(["other", "default"]))
    assert calls.expired == [expired]
    assert listed(redis_process, store.keys) == {"alive"}
    await tour(store.sweeper(["default"]))
    assert calls.expired == [expired]
    assert (await store.summary(alive)).key == alive


async def test_whoever_comes_upon_an_expired_session_tells_of_it(
    store: RedisSessions, redis_process: RedisProcess, calls: Calls
) -> None:
    (key,) = await create(store, "a")
    expire(redis_process, store.keys, key)
    assert await store.list("default", "", 10) == ([], "")
    assert calls.expired == [key]


async def test_a_call_that_fails_is_repeated_later(
    store: RedisSessions, redis_process: RedisProcess, calls: Calls
) -> None:
    (key,) = await create(store, "a")
    expire(redis_process, store.keys, key)
    calls.failing = True
    await tour(store.sweeper(["default"]))
    assert listed(redis_process, store.keys) == {"a"}
    calls.failing = False
    await tour(store.sweeper(["default"]))
    assert (calls.expired, listed(redis_process, store.keys)) == ([key], set())


async def test_a_bite_is_small_and_the_next_one_goes_on(store: RedisSessions, redis_process: RedisProcess) -> None:
    """Also in the hands of another process, and in a bucket of very many."""
    crowd = neighbours(MANY + 16)
    names = {key.session.encode(): 0 for key in crowd}
    with redis_process.client() as client:
        client.zadd(store.keys.bucket_of(crowd[0]), names)
    left = [len(names)]
    for _ in range(3 * BUCKETS // SPAN):
        await store.sweeper(["default"]).sweep()
        left.append(len(listed(redis_process, store.keys)))
    assert left[-1] == 0
    assert max(before - after for before, after in itertools.pairwise(left)) == MANY


async def test_a_cursor_that_no_sweeper_wrote_is_begun_anew(
    store: RedisSessions, redis_process: RedisProcess, calls: Calls
) -> None:
    (key,) = await create(store, "a")
    expire(redis_process, store.keys, key)
    with redis_process.client() as client:
        client.set(store.keys.sweep_cursor("default"), "nonsense")
    await tour(store.sweeper(["default"]))
    assert calls.expired == [key]


async def test_a_cluster_is_swept_too(redis_url: str, open_sessions: OpenSessions, calls: Calls) -> None:
    store = open_sessions(redis_url, expired=calls)
    keys = await create(store, "a", "b", "c", "d")
    with closing(sync_client(redis_url)) as client:
        for key in keys[:3]:
            assert client.pexpire(store.keys.record(key), 0)
    await tour(store.sweeper(["default"]))
    assert sorted(calls.expired) == keys[:3]
    left, _ = await store.list("default", "", 10)
    assert [summary.key for summary in left] == keys[3:]
    assert await store.sweeper(["default"]).take_turn()


async def test_processes_take_turns(store: RedisSessions, redis_process: RedisProcess) -> None:
    one, other = store.sweeper(["default"]), store.sweeper(["default"])
    assert [await one.take_turn(), await other.take_turn(), await one.take_turn()] == [True, False, False]
    with redis_process.client() as client:
        assert 0 < client.pttl(store.keys.sweep_turn) <= 1000
        client.delete(store.keys.sweep_turn)
    assert await other.take_turn()


async def test_many_that_expire_at_once_are_removed_in_one_turn(
    store: RedisSessions, redis_process: RedisProcess, calls: Calls
) -> None:
    alive, key = await create(store, "alive", "expired")
    expire(redis_process, store.keys, key)
    with redis_process.client() as client, client.pipeline() as pipe:
        for number in range(3 * MANY):
            name = f"expired-{number}"
            pipe.zadd(store.keys.bucket_of(SessionKey("default", name)), {name: 0})
            pipe.set(store.keys.tombstone(SessionKey("default", name)), "")
        pipe.execute()
    sweeper = store.sweeper(["default"], every_s=60)
    await sweeper.run()
    assert listed(redis_process, store.keys) == {"alive"}
    assert len(calls.expired) == len(set(calls.expired)) == 3 * MANY + 1
    assert (await store.summary(alive)).key == alive


async def test_few_that_expire_are_removed_without_haste(store: RedisSessions, redis_process: RedisProcess) -> None:
    keys = await create(store, *[f"s{number}" for number in range(40)])
    expire(redis_process, store.keys, keys[0])
    sweeper = store.sweeper(["default"], every_s=60)
    await sweeper.run()
    assert await redis_cursor(redis_process, store.keys) == f"{SPAN:02x}"


async def test_it_goes_on_by_itself_through_an_outage(
    store: RedisSessions, redis_process: RedisProcess, calls: Calls
) -> None:
    key, other = await create(store, "a", "b")
    running = asyncio.create_task(repeat(store.sweeper(["default"], every_s=0.01).run, 0.01, "no sweep"))
    expire(redis_process, store.keys, key)
    await _until_expired(calls, key)
    redis_process.kill()
    redis_process.start()
    expire(redis_process, store.keys, other)
    await _until_expired(calls, other)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def _until_expired(calls: Calls, key: SessionKey) -> None:
    async with asyncio.timeout(20):
        while key not in calls.expired:  # noqa: ASYNC110  # the sweep sets no event
            await asyncio.sleep(0.005)
