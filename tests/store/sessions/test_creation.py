"""Sessions that are created together: each has its own outcome, on one server and on a cluster."""

import asyncio
from contextlib import closing

import pytest

from cellar.errors import CellarError, ModelDeleted, StoreUnavailable
from cellar.ports import EVERY_SESSION, Dependents, ModelVersion, SessionFilter
from cellar.store.catalogue.models import RedisModels
from cellar.store.sessions.creation import TIDY_AFTER
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import sync_client
from tests.redis_process import RedisProcess
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_record
from tests.store.sessions.test_index import neighbours

pytestmark = pytest.mark.anyio


async def names(sessions: RedisSessions, model: str | None = None) -> list[str]:
    """Return the names of all sessions, or of those of a model."""
    wanted = EVERY_SESSION if model is None else SessionFilter(model=model)
    found, cursor, begun = list[str](), "", False
    while cursor or not begun:
        page, cursor = await sessions.list("default", cursor, 1000, wanted)
        found += [summary.key.session for summary in page]
        begun = True
    return sorted(found)


async def test_many_are_created_in_one_call(sessions: RedisSessions) -> None:
    while not await sessions.uses.complete_some("default"):
        pass
    there = a_record("s5", model="wind@1")
    assert await sessions.create(there) is None
    records = [a_record(f"s{number}", model=f"co2@{1 + number % 3}") for number in range(300)]
    found = await sessions.create_all([(record, None, "create") for record in records])
    assert [each for at, each in enumerate(found) if at != 5] == [None] * 299
    assert getattr(found[5], "meta", None) == there.meta
    assert await names(sessions) == sorted(f"s{number}" for number in range(300))
    assert await names(sessions, "co2@2") == sorted(f"s{number}" for number in range(1, 300, 3))
    assert await sessions.uses.count("default", "co2@1") == Dependents(100, 0, 0)
    again = await sessions.create_all([(record, None, "create") for record in records[:7]])
    assert [each is None for each in again] == [at != 5 for at in range(7)], "a repeated request creates nothing else"


async def test_those_that_are_asked_for_at_once_have_their_own_outcomes(sessions: RedisSessions) -> None:
    record, other = a_record("same"), a_record("same")
    outcomes = await asyncio.gather(*[sessions.create(each) for each in (record, a_record("a"), other, a_record("b"))])
    assert [outcome is None for outcome in outcomes].count(True) == 3
    loser = other if outcomes[0] is None else record
    assert (await sessions.load(loser.key)).meta.incarnation != loser.meta.incarnation
    assert await names(sessions) == ["a", "b", "same"]


async def test_only_those_of_a_deleted_model_are_not_created(sessions: RedisSessions, redis_url: str) -> None:
    models = RedisModels(sync_client(redis_url), sessions.keys._prefix)
    for name in ("co2", "wind"):
        models.create(ModelVersion("default", name, 0, "d" * 64, {"in_size": 1}, "a" * 64, 1.5))
    models.delete("default", "co2")
    records = [a_record("gone", model="co2@1"), a_record("kept", model="wind@1")]
    gone, kept = await sessions.create_all([(record, None, "create") for record in records])
    assert (type(gone), kept) == (ModelDeleted, None)
    assert await names(sessions) == ["kept"]


async def test_without_a_redis_each_has_the_error(redis_process: RedisProcess, open_sessions: OpenSessions) -> None:
    sessions = open_sessions(redis_process.url, patience_s=0.1)
    await sessions.create(a_record("first"))
    redis_process.kill()
    found = await asyncio.gather(*[sessions.create(a_record(f"s{n}")) for n in range(3)], return_exceptions=True)
    assert {type(each) for each in found} == {StoreUnavailable}
    again = await sessions.create_all([(a_record(f"s{n}"), None, "create") for n in range(3)])
    assert all(isinstance(each, CellarError) for each in again)


async def test_a_caller_that_is_cancelled_leaves_the_others_alone(sessions: RedisSessions) -> None:
    tasks = [asyncio.create_task(sessions.create(a_record(f"s{number}"))) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [each for at, each in enumerate(found) if at != 1] == [None, None, None]


async def test_names_without_a_record_are_removed_as_sessions_are_created(
    sessions: RedisSessions, redis_url: str
) -> None:
    live, *dead = neighbours(21)
    bucket = sessions.keys.bucket_of(live)
    with closing(sync_client(redis_url)) as client:
        client.zadd(bucket, {key.session: 0 for key in dead})
        await sessions.create_all([(a_record(f"other{number}"), None, "create") for number in range(TIDY_AFTER - 1)])
        await sessions.create(a_record(live.session))
        left = client.zrange(bucket, 0, -1)
    assert isinstance(left, list)
    assert not {key.session.encode() for key in dead} & {*left}
