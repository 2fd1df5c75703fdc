"""Rights of the Redis user: one that is missing is named before anything is written, and leaves nothing half done."""

import asyncio
import dataclasses
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import redis

from cellar.errors import CellarError, StoreUnavailable
from cellar.ports import Commit, Identity, SessionRecord
from cellar.store.catalogue.models import RedisModels
from cellar.store.companions.snapshots import RedisSnapshots
from cellar.store.connection.rights import COMMANDS
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology import health
from cellar.store.topology.factory import open_router, sync_client
from tests.redis_process import RedisProcess
from tests.store.committing import commit_all
from tests.store.session_values import a_commit, a_record

pytestmark = pytest.mark.anyio

PREFIX = "test-rights"
NAMES = [command[0].decode() for command in COMMANDS]
IN_COMMITS = {"SET", "XADD", "PEXPIRE", "PERSIST"}
"""What `commits/command.py` lets the script of commits run besides."""


def limited(process: RedisProcess, *without: str) -> str:
    """Return the URL by which a user comes who may do all but these commands, on the keys of the service."""
    with process.client() as client:
        client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", f"~{PREFIX}*", "&*", "+@all")
        for name in without:
            client.execute_command("ACL", "SETUSER", "limited", f"-{name}")
    return process.url.replace("unix://", "unix://limited:pw@")


def kept(**options: Any) -> SessionRecord:
    """Return a session that keeps a log, events or itself."""
    record = a_record()
    return dataclasses.replace(record, meta=dataclasses.replace(record.meta, **options))


def everything(process: RedisProcess) -> dict[bytes, bytes | None]:
    """Return all that is stored but tombstones and the marks of a moment, without its lifetimes."""
    with process.client() as client:
        return {
            key: client.dump(key) for key in client.scan_iter() if not key.endswith((b":t", b":probe", b":probe:0"))
        }


def test_the_list_is_that_of_the_scripts() -> None:
    scripts = [each.read_text() for each in Path(str(files("cellar.store"))).rglob("*.lua")]
    called = {name for text in scripts for name in re.findall(r"(?:redis\.call|try)\('([A-Z]+)'", text)}
    assert called | IN_COMMITS == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_a_right_that_is_missing_is_named_before_anything_is_written(
    redis_process: RedisProcess, name: str
) -> None:
    route = open_router(limited(redis_process, name), prefix=PREFIX)
    sessions = RedisSessions(route, prefix=PREFIX)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=rf"may not run {name} ") as refused:
            await sessions.create(kept(log=10, events=10))
        assert refused.value.outcome == "not_applied"
    with pytest.raises(StoreUnavailable, match=rf"may not run {name} "):
        await sessions.ping()
    assert not everything(redis_process)
    limited(redis_process)
    assert await sessions.create(kept()) is None
    limited(redis_process, name)
    with pytest.raises(StoreUnavailable, match=rf"may not run {name} "):
        await sessions.ping()
    with pytest.raises(StoreUnavailable, match=rf"may not run {name} "):
        await sessions.create(kept())
    await sessions.aclose()


async def test_keys_that_are_out_of_reach_are_told_as_well(redis_process: RedisProcess) -> None:
    route = open_router(limited(redis_process), prefix="elsewhere")
    with pytest.raises(StoreUnavailable, match="may not run scripts on the keys"):
        await health.check(route, b"elsewhere:probe")
    await route.aclose()


@pytest.mark.parametrize("name", NAMES)
def test_the_stores_of_jobs_models_and_blobs_ask_first(redis_process: RedisProcess, name: str) -> None:
    client = sync_client(limited(redis_process, name))
    models = RedisModels(client, PREFIX)
    with pytest.raises(StoreUnavailable, match=rf"may not run {name} ") as refused:
        models._scripts.run(
            "model_create", [f"{PREFIX}:a", f"{PREFIX}:b", f"{PREFIX}:c", f"{PREFIX}:d"], ["m", "{}", "w", "d"]
        )
    assert refused.value.outcome == "not_applied"
    assert not everything(redis_process)
    client.close()


OPTIONS: list[dict[str, Any]] = [{}, {"pinned": True}, {"log": 10}, {"log": 10, "events": 10}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("key", [None, "again"])
async def test_a_right_that_is_taken_away_leaves_no_half_of_a_commit(
    redis_process: RedisProcess, options: dict[str, Any], key: str | None
) -> None:
    """The connection is there already, and no request was made since."""
    async with (
        aclosing(RedisSessions(open_router(redis_process.url), prefix=PREFIX)) as open_all,
        aclosing(RedisSessions(open_router(limited(redis_process)), prefix=PREFIX)) as narrow,
    ):
        for name in NAMES:
            limited(redis_process)
            record = kept(**options)
            await open_all.create(record)
            commit: Commit = a_commit(record, 1.0, identity=Identity(key=key))
            await open_all.load(record.key)
            await narrow.summary(record.key)
            before = everything(redis_process)
            limited(redis_process, name)
            (result,) = await commit_all(narrow, [commit])
            moved = (await open_all.load(record.key)).position == commit.after.position
            if isinstance(result, CellarError):
                assert not moved, name
                assert everything(redis_process) == before, name
                assert isinstance(result, StoreUnavailable), name
                assert result.outcome == "not_applied"
            else:
                assert moved, name
                assert len(everything(redis_process)) - len(before) == (key is not None), name
                _check_streams(redis_process, open_all, commit, options)


def _check_streams(process: RedisProcess, sessions: RedisSessions, commit: Commit, options: dict[str, Any]) -> None:
    key = commit.before.key
    with process.client() as client:
        for name, stream in (("log", sessions.keys.log(key)), ("events", sessions.keys.events(key))):
            assert client.xlen(stream) == (2 if options.get(name) else 0)


async def test_a_right_that_is_taken_away_leaves_no_half_of_a_session_or_a_copy(redis_process: RedisProcess) -> None:
    route = open_router(limited(redis_process))
    async with (
        aclosing(RedisSessions(open_router(redis_process.url), prefix=PREFIX)) as open_all,
        aclosing(RedisSessions(route, prefix=PREFIX)) as narrow,
    ):
        snapshots = RedisSnapshots(route, narrow, prefix=PREFIX)
        for name in ("HMGET", "PTTL", "HSET", "PEXPIRE", "SET", "XADD", "EXISTS", "HLEN"):
            limited(redis_process)
            there = kept(log=10)
            await open_all.create(there)
            await narrow.summary(there.key)
            fresh = kept(log=10, events=10)
            makes: list[Callable[[], Awaitable[object]]] = [
                lambda fresh=fresh: narrow.create(fresh),  # type: ignore[misc]  # mypy infers no lambda with a default
                # mypy infers no lambda with a default
                lambda there=there: snapshots.copy_for_request(there.key, b"m", None, b"body", 1.0),  # type: ignore[misc]
                # mypy infers no lambda with a default
                lambda there=there: narrow.delete(there.key),  # type: ignore[misc]
            ]
            for make in makes:
                await makes_all_or_nothing(redis_process, make, without=name)


async def makes_all_or_nothing(process: RedisProcess, make: Callable[[], Awaitable[object]], *, without: str) -> None:
    """Make something while the user lacks a right, and hold what is stored against what was there before."""
    before = everything(process)
    limited(process, without)
    try:
        async with asyncio.timeout(3):
            await make()
    except CellarError:
        now = everything(process)
        # names of sessions that are not there, in lists and beside models: whoever looks for them passes them over
        names = {key for key in now if b":sessions:" in key or b":by:" in key or key.endswith((b":depended", b":uses"))}
        assert {key: now[key] for key in now.keys() - names} == {key: before[key] for key in before.keys() - names}
    finally:
        limited(process)


async def test_a_stream_that_is_further_than_its_record_keeps_the_commit_from_being_written(
    redis_process: RedisProcess,
) -> None:
    sessions = RedisSessions(open_router(redis_process.url), prefix=PREFIX)
    record = kept(log=10)
    await sessions.create(record)
    with redis_process.client() as client:
        client.xadd(sessions.keys.log(record.key), {"k": "step"}, id="9-0")
    before = everything(redis_process)
    (result,) = await commit_all(sessions, [a_commit(record, 1.0)])
    assert isinstance(result, CellarError)
    assert "ahead of its record" in result.detail
    assert everything(redis_process) == before
    await sessions.aclose()


@pytest.fixture(autouse=True)
def no_other_client(redis_process: RedisProcess) -> None:
    """The server is the test's own."""
    with redis_process.client() as client:
        assert isinstance(client, redis.Redis)
        client.flushall()
