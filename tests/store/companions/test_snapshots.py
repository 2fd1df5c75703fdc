"""Snapshots on a real Redis: what they hold, who may have them, and when they go."""

import dataclasses
from collections.abc import Iterator

import pytest
import redis

from cellar.errors import (
    Diverged,
    Regressed,
    SessionExpired,
    SessionUnknown,
    SnapshotsFull,
    SnapshotUnknown,
    StepTaken,
    StoreUnavailable,
)
from cellar.ports import Position, SessionRecord
from cellar.store.companions.snapshots import RedisSnapshots
from cellar.store.connection.router import Router
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import open_router, sync_client
from tests.proxy import LossyProxy
from tests.redis_process import RedisProcess
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_commit, a_record

pytestmark = pytest.mark.anyio

ME, OTHER = b"m" * 16, b"o" * 16


@pytest.fixture
def snapshots(sessions: RedisSessions) -> RedisSnapshots:
    """Return snapshots of the sessions of the shared Redis."""
    return beside(sessions)


@pytest.fixture
def raw(redis_url: str) -> Iterator["redis.Redis"]:
    """Yield a client of the Redis behind `sessions`."""
    client = sync_client(redis_url)
    yield client
    client.close()


def beside(sessions: RedisSessions, route: Router | None = None) -> RedisSnapshots:
    """Return the snapshots that belong to a store of sessions."""
    prefix = sessions.keys.probe.decode().removesuffix(":probe")
    return RedisSnapshots(route or sessions._router, sessions, prefix=prefix, most=3)


async def begin(sessions: RedisSessions, name: str | None = None) -> SessionRecord:
    """Create a session that has made a step."""
    record = a_record(name)
    await sessions.create(record)
    return await step(sessions, record)


async def step(sessions: RedisSessions, before: SessionRecord) -> SessionRecord:
    """Make a step."""
    commit = a_commit(before, 1.0)
    await commit_all(sessions, [commit])
    return commit.after


async def test_a_snapshot_is_the_session_of_its_moment(sessions: RedisSessions, snapshots: RedisSnapshots) -> None:
    record = await begin(sessions)
    taken = await snapshots.take(record.key, "a", None, ME, 12.5)
    assert taken.copied
    moved = await step(sessions, record)
    there = await snapshots.take(record.key, "a", None, OTHER, 99.0)
    assert there == dataclasses.replace(taken, copied=False, now=moved.position)
    snapshot = taken.snapshot
    assert (snapshot.name, snapshot.meta, snapshot.position) == ("a", record.meta, record.position)
    assert (snapshot.taken_s, snapshot.request) == (12.5, ME)
    assert await snapshots.find(record.key, "a") == snapshot
    assert await snapshots.read(record.key, "a") == record
    assert await sessions.load(record.key) == moved


async def test_they_are_listed_by_name_and_deleted_one_by_one(
    sessions: RedisSessions, snapshots: RedisSnapshots
) -> None:
    record = await begin(sessions)
    for name in ("b", "a", "c.h"):
        await snapshots.take(record.key, name, None, ME, 0.0)
    assert [snapshot.name for snapshot in await snapshots.list(record.key)] == ["a", "b", "c.h"]
    with pytest.raises(SnapshotsFull):
        await snapshots.take(record.key, "d", None, ME, 0.0)
    await snapshots.delete(record.key, "a")
    for gone in (snapshots.delete(record.key, "a"), snapshots.find(record.key, "a"), snapshots.read(record.key, "a")):
        with pytest.raises(SnapshotUnknown):
            await gone
    await snapshots.take(record.key, "d", None, ME, 0.0)
    assert [snapshot.name for snapshot in await snapshots.list(record.key)] == ["b", "c.h", "d"]


async def test_a_position_that_is_named_is_compared(sessions: RedisSessions, snapshots: RedisSnapshots) -> None:
    record = await begin(sessions)
    now = record.position
    await snapshots.take(record.key, "there", now, ME, 0.0)
    for where, error in (
        (Position(now.epoch, now.step + 1, now.digest), Regressed),
        (Position(now.epoch, now.step, bytes(16)), Diverged),
    ):
        with pytest.raises(error):
            await snapshots.take(record.key, "a", where, ME, 0.0)
    await step(sessions, record)
    with pytest.raises(StepTaken):
        await snapshots.take(record.key, "a", now, ME, 0.0)
    assert not (await snapshots.take(record.key, "there", now, OTHER, 0.0)).copied


async def test_they_go_with_their_session(
    sessions: RedisSessions, snapshots: RedisSnapshots, raw: "redis.Redis"
) -> None:
    record = await begin(sessions, "s")
    key, place = record.key, sessions.keys.snapshots(record.key)
    await snapshots.take(key, "a", None, ME, 0.0)
    assert raw.pttl(place) == -1
    await sessions.delete(key)
    assert not raw.exists(place)
    for call in (snapshots.list(key), snapshots.take(key, "a", None, ME, 0.0), snapshots.read(key, "a")):
        with pytest.raises(SessionUnknown):
            await call

    await begin(sessions, "s")
    await snapshots.take(key, "a", None, ME, 0.0)
    raw.pexpire(sessions.keys.record(key), 0)
    for late in (snapshots.list(key), snapshots.take(key, "a", None, ME, 0.0), snapshots.delete(key, "a")):
        with pytest.raises(SessionExpired):
            await late
    assert await sessions.list("default", "", 10) == ([], "")
    assert not raw.exists(place)


async def test_a_session_of_the_same_name_has_none_of_its_forerunner(
    sessions: RedisSessions, snapshots: RedisSnapshots, raw: "redis.Redis"
) -> None:
    record = await begin(sessions, "s")
    await snapshots.take(record.key, "a", None, ME, 0.0)
    place = sessions.keys.snapshots(record.key)
    left = raw.dump(place)
    assert left is not None
    raw.pexpire(sessions.keys.record(record.key), 0)
    record = await begin(sessions, "s")
    assert not raw.exists(place)
    raw.restore(place, 0, left)  # as if it had not been cleared away
    assert await snapshots.list(record.key) == []
    with pytest.raises(SnapshotUnknown):
        await snapshots.find(record.key, "a")
    assert (await snapshots.take(record.key, "a", None, OTHER, 0.0)).copied


async def test_a_session_with_snapshots_is_listed(
    sessions: RedisSessions, snapshots: RedisSnapshots, raw: "redis.Redis"
) -> None:
    record = await begin(sessions)
    raw.delete(sessions.keys.bucket_of(record.key))
    await snapshots.take(record.key, "a", None, ME, 0.0)
    found, _ = await sessions.list("default", "", 10)
    assert [summary.key for summary in found] == [record.key]


async def test_a_lost_reply_is_no_other_request(redis_process: RedisProcess, open_sessions: OpenSessions) -> None:
    """Taken once, and its taker is told so; a deletion that was applied is no error."""
    sessions = open_sessions(redis_process.url)
    record = await begin(sessions)
    lost: list[bytes] = []

    def loses(request: bytes) -> bool:
        wanted = b"EVALSHA" in request or b"HDEL" in request
        return wanted and not lost and not lost.append(request)  # type: ignore[func-returns-value]  # the first time

    async with LossyProxy(redis_process.url, loses) as proxy:
        snapshots = beside(sessions, open_router(proxy.url))
        await beside(sessions).take(record.key, "loads the script", None, ME, 0.0)
        assert (await snapshots.take(record.key, "a", None, ME, 0.0)).copied
        lost.clear()
        await snapshots.delete(record.key, "a")
        assert proxy.cuts == 2
        await snapshots._client._router.aclose()
    assert [snapshot.name for snapshot in await beside(sessions).list(record.key)] == ["loads the script"]


async def test_a_full_redis_takes_none(redis_process: RedisProcess, open_sessions: OpenSessions) -> None:
    sessions = open_sessions(redis_process.url)
    snapshots = beside(sessions)
    record = await begin(sessions)
    with redis_process.client() as raw:
        raw.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable) as caught:
            await snapshots.take(record.key, "a", None, ME, 0.0)
        assert caught.value.outcome == "not_applied"
        raw.config_set("maxmemory", 0)
    assert await snapshots.list(record.key) == []
