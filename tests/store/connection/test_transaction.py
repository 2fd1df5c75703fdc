"""Ticks of many commits: each commit's outcome is its own, as if it had come alone."""

from collections.abc import Sequence
from typing import Any

import pytest

from cellar.errors import SessionUnknown, StoreUnavailable
from cellar.ports import Applied, CommitConflict
from cellar.store.connection.router import Wait
from cellar.store.connection.transaction import EXEC, LEAST, MOST, MULTI, grouped, ungrouped
from cellar.store.protocol.resp import Command, EncodedCommand, Reply, ReplyError, pack
from tests.proxy import LossyProxy, first
from tests.redis_process import RedisProcess
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_commit, a_record, after

pytestmark = pytest.mark.anyio

MANY = 2 * MOST + LEAST - 1
"""Two transactions, and what is too little for another one."""


def echo(sent: Sequence[Command | EncodedCommand]) -> list[Reply]:
    """Answer as Redis would if each command were answered with its name."""
    replies: list[Reply] = []
    queued: list[Reply] | None = None
    for command in sent:
        if command == MULTI:
            queued = []
            replies.append(b"OK")
        elif command == EXEC:
            replies.append(queued)
            queued = None
        elif queued is None:
            replies.append(command[0])
        else:
            queued.append(command[0])
            replies.append(b"QUEUED")
    return replies


@pytest.mark.parametrize("count", [1, LEAST - 1, LEAST, MOST, MOST + 1, MANY])
def test_every_command_has_its_own_reply(count: int) -> None:
    commands: list[Command | EncodedCommand] = [(b"%d" % number,) for number in range(count)]
    sent = grouped(commands)
    assert (MULTI in sent) == (count >= LEAST)
    assert ungrouped(echo(sent), count) == [command[0] for command in commands]
    assert b"".join(grouped([pack([command]) for command in commands])) == pack(sent)


def test_one_that_is_refused_at_once_speaks_for_its_transaction() -> None:
    refused, done = ReplyError("OOM command not allowed"), ReplyError("EXECABORT Transaction discarded")
    replies: list[Reply] = [b"OK", b"QUEUED", refused, *[b"QUEUED"] * (LEAST - 2), done]
    assert ungrouped(replies, LEAST) == [refused] * LEAST


def test_without_a_transaction_each_was_answered_by_itself() -> None:
    loading = ReplyError("LOADING")
    assert ungrouped([loading, *[loading] * LEAST, ReplyError("ERR EXEC without MULTI")], LEAST) == [loading] * LEAST


async def test_a_large_tick_commits_what_it_can(redis_process: RedisProcess, open_sessions: OpenSessions) -> None:
    sessions = open_sessions(redis_process.url)
    records = [a_record() for _ in range(MANY)]
    for record in records:
        await sessions.create(record)
    elsewhere = a_commit(records[5], 9.0)
    await commit_all(sessions, [elsewhere])
    await sessions.delete(records[MOST + 3].key)
    with redis_process.client() as client:
        client.script_flush()
    results = await commit_all(sessions, [a_commit(record, 1.0) for record in records])
    assert results[5] == CommitConflict(after(elsewhere))
    assert isinstance(results[MOST + 3], SessionUnknown)
    others = [result for index, result in enumerate(results) if index not in (5, MOST + 3)]
    assert others == [Applied()] * (MANY - 2)
    for record in records[:3]:
        assert (await sessions.load(record.key)).position.step == 1


async def test_a_full_redis_refuses_all_of_a_large_tick(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    sessions = open_sessions(redis_process.url)
    records = [a_record() for _ in range(LEAST + 2)]
    for record in records:
        await sessions.create(record)
    with redis_process.client() as client:
        client.config_set("maxmemory", 1)
        refused = await commit_all(sessions, [a_commit(record, 1.0) for record in records])
        client.config_set("maxmemory", 0)
    assert all(isinstance(result, StoreUnavailable) and result.outcome == "not_applied" for result in refused)
    assert await commit_all(sessions, [a_commit(record, 1.0) for record in records]) == [Applied()] * len(records)


async def test_a_large_tick_waits_for_its_replicas_once(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    sessions = open_sessions(redis_process.url, wait=Wait(1, 50))
    records = [a_record() for _ in range(LEAST)]
    for record in records:
        await sessions.create(record)
    results = await commit_all(sessions, [a_commit(record, 1.0) for record in records])
    assert {getattr(result, "outcome", None) for result in results} == {"applied_not_durable"}


async def test_a_large_tick_whose_reply_is_lost_is_applied_once(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    there = open_sessions(redis_process.url)
    records = [a_record() for _ in range(LEAST)]
    for record in records:
        await there.create(record)
    commits = [a_commit(record, 1.0) for record in records]
    async with LossyProxy(redis_process.url, first(1)) as proxy:
        assert await commit_all(open_sessions(proxy.url), commits) == [Applied()] * LEAST
        assert proxy.cuts == 1
    assert [await there.load(record.key) for record in records] == [after(commit) for commit in commits]
    with redis_process.client() as client:
        counts: Any = client.info("commandstats")
    assert counts["cmdstat_exec"]["calls"] == 2


async def test_a_small_tick_comes_as_it_is(redis_process: RedisProcess, open_sessions: OpenSessions) -> None:
    sessions = open_sessions(redis_process.url)
    record = a_record()
    await sessions.create(record)
    assert await commit_all(sessions, [a_commit(record, 1.0)]) == [Applied()]
    with redis_process.client() as client:
        counts: Any = client.info("commandstats")
    assert "cmdstat_exec" not in counts
