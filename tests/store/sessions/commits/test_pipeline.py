"""Ticks that are posted: each is answered once, in order, whatever happens to the connection."""

import asyncio
import signal
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest
from redis.crc import key_slot

from cellar.errors import SessionUnknown, StoreCorrupt, StoreUnavailable
from cellar.ports import Applied, Commit, CommitConflict, CommitResult, SessionRecord
from cellar.store.connection import connection
from cellar.store.connection.router import Wait
from cellar.store.connection.transaction import LEAST
from cellar.store.sessions.commits import pipeline, result
from cellar.store.sessions.store import RedisSessions
from tests.proxy import LossyProxy, first
from tests.redis_cluster import RedisCluster
from tests.redis_process import RedisProcess
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_commit, a_record, after, answered, at

pytestmark = pytest.mark.anyio

Results = Sequence[CommitResult]


class Posted:
    """A tick that was posted, and the results that `done` was called with."""

    def __init__(self, sessions: RedisSessions, *commits: Commit) -> None:
        self.there: dict[int, CommitResult] = {}
        self._count = len(commits)
        self._came = asyncio.Event()
        sessions.post(commits, self._done)
        assert not self.there, "never from within"

    def _done(self, part: Sequence[int], results: Results) -> None:
        assert not self.there.keys() & set(part), "each once"
        self.there.update(zip(part, results, strict=True))
        self._came.set()

    async def results(self, *some: int) -> list[CommitResult]:
        """Return the results, or some of them, when they have come."""
        wanted = some or range(self._count)
        while not self.there.keys() >= set(wanted):
            self._came.clear()
            await self._came.wait()
        return [self.there[index] for index in wanted]


def chain(record: SessionRecord, count: int) -> list[Commit]:
    """Return commits of a session, each of which goes on where the one before ends."""
    commits = [a_commit(record, 1.0)]
    while len(commits) < count:
        commits.append(a_commit(after(commits[-1]), float(len(commits))))
    return commits


async def test_ticks_take_effect_in_the_order_in_which_they_were_posted(sessions: RedisSessions) -> None:
    """Each goes on where the one before ends, so one that overtook another would lose the race."""
    record = a_record()
    await sessions.create(record)
    commits = chain(record, 40)
    posted = [Posted(sessions, commit) for commit in commits]
    assert [await each.results() for each in posted] == [[Applied()]] * len(commits)
    assert await sessions.load(record.key) == after(commits[-1])


async def test_the_order_holds_while_there_is_no_connection_and_between_both_ways(
    sessions: RedisSessions, redis_url: str, open_sessions: OpenSessions
) -> None:
    record = a_record()
    await sessions.create(record)
    other = open_sessions(redis_url)
    commits = chain(record, 30)
    waiting: list[Awaitable[list[CommitResult]]] = []
    for number, commit in enumerate(commits):
        if number % 3:
            waiting.append(Posted(other, commit).results())
        else:
            waiting.append(asyncio.create_task(commit_all(other, [commit])))
        await asyncio.sleep(0)  # ticks come while the connection is made as well
    assert [await each for each in waiting] == [[Applied()]] * len(commits)
    assert await sessions.load(record.key) == after(commits[-1])


async def test_a_tick_may_be_posted_from_within_the_results_of_another(sessions: RedisSessions) -> None:
    record = a_record()
    await sessions.create(record)
    left = chain(record, 20)[::-1]
    last = left[0]
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def go_on(part: Sequence[int], results: Results) -> None:
        assert (list(part), results) == ([0], [Applied()])
        if left:
            sessions.post([left.pop()], go_on)
        else:
            ended.set_result(None)

    sessions.post([left.pop()], go_on)
    await ended
    assert await sessions.load(record.key) == after(last)


@pytest.mark.parametrize("others", [0, LEAST])
async def test_every_commit_has_its_own_result(sessions: RedisSessions, others: int) -> None:
    records = [a_record() for _ in range(4 + others)]
    for record in records:
        await sessions.create(record)
    elsewhere, again = a_commit(records[0], 9.0), a_commit(records[2], 1.0, identity=at(records[2].position))
    await commit_all(sessions, [elsewhere, again])
    await sessions.delete(records[1].key)
    results = await Posted(sessions, *[a_commit(each, 1.0) for each in records[:2]], again).results()
    assert results[0] == CommitConflict(after(elsewhere))
    assert isinstance(results[1], SessionUnknown)
    assert results[2] == answered(again)
    tick = [a_commit(each, 1.0) for each in records[3:]]
    assert await Posted(sessions, *tick).results() == [Applied()] * len(tick)


async def test_a_redis_that_has_forgotten_the_script_gets_it_again(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    sessions, record = open_sessions(redis_process.url), a_record()
    await sessions.create(record)
    with redis_process.client() as client:
        client.script_flush()
    commit = a_commit(record, 1.0)
    assert await Posted(sessions, commit).results() == [Applied()]
    assert await sessions.load(record.key) == after(commit)


@pytest.mark.parametrize("count", [1, LEAST])
@pytest.mark.parametrize("losses", [1, 2])
async def test_a_tick_whose_reply_is_lost_is_applied_once(
    redis_process: RedisProcess, open_sessions: OpenSessions, count: int, losses: int
) -> None:
    there = open_sessions(redis_process.url)
    commits = [a_commit(a_record(), 1.0) for _ in range(count)]
    for commit in commits:
        await there.create(commit.before)
    async with LossyProxy(redis_process.url, first(losses)) as proxy:
        assert await Posted(open_sessions(proxy.url), *commits).results() == [Applied()] * count
        assert proxy.cuts == losses
    assert [await there.load(each.before.key) for each in commits] == [after(each) for each in commits]


async def test_a_tick_that_lost_its_reply_and_moved_on_is_never_run_again(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    """What was sent and not answered counts as sent: later, its ring entry gone, that is no lost race."""
    there, record = open_sessions(redis_process.url), a_record()
    await there.create(record)
    commit = a_commit(record, 1.0)
    with redis_process.client() as client:
        async with LossyProxy(redis_process.url, first(1)) as proxy:

            def move_on() -> None:
                for later in chain(after(commit), 32):
                    client.execute_command(*there.encoder.call(later))

            proxy.after_cut = move_on
            [result] = await Posted(open_sessions(proxy.url), commit).results()
    assert isinstance(result, StoreUnavailable)
    assert result.outcome == "unknown"


async def test_a_redis_that_is_gone_applies_nothing_and_one_that_hangs_may_have(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    sessions, record = open_sessions(redis_process.url, reply_timeout_s=0.1, patience_s=0.3), a_record()
    await sessions.create(record)
    redis_process.signal(signal.SIGSTOP)
    [result] = await Posted(sessions, a_commit(record, 1.0)).results()
    assert isinstance(result, StoreUnavailable)
    assert result.outcome == "unknown"
    redis_process.kill()
    [result] = await Posted(sessions, a_commit(record, 1.0)).results()
    assert isinstance(result, StoreUnavailable)
    assert result.outcome == "not_applied"


async def test_closing_ends_what_is_under_way_with_an_unknown_outcome(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    sessions, record = open_sessions(redis_process.url), a_record()
    await sessions.create(record)
    redis_process.signal(signal.SIGSTOP)
    posted = Posted(sessions, a_commit(record, 1.0))
    await sessions.aclose()
    result = posted.there[0]
    assert isinstance(result, StoreUnavailable)
    assert result.outcome == "unknown"
    redis_process.signal(signal.SIGCONT)


async def test_results_that_are_not_taken_harm_no_other_tick(
    sessions: RedisSessions, caplog: pytest.LogCaptureFixture
) -> None:
    record = a_record()
    await sessions.create(record)
    commits = chain(record, 2)

    def refuse(part: Sequence[int], results: Results) -> None:
        raise ValueError(f"{len(results)} results too many")

    sessions.post(commits[:1], refuse)
    assert await Posted(sessions, commits[1]).results() == [Applied()]
    assert "1 results too many" in caplog.text


@pytest.mark.pure
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (connection, "ungrouped"),
        (result, "items"),
        (result, "unpack_record"),
        (pipeline, "CommandOutcome"),
    ],
)
async def test_replies_that_are_not_understood_are_told_to_all_and_the_next_tick_goes_on(
    sessions: RedisSessions, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    records = [a_record() for _ in range(LEAST)]
    for record in records:
        await sessions.create(record)
    elsewhere = a_commit(records[0], 9.0)
    await commit_all(sessions, [elsewhere])
    real, calls = getattr(owner, name), 0

    def broken(*arguments: Any, **others: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("not understood")
        return real(*arguments, **others)

    monkeypatch.setattr(owner, name, broken)
    commits = [a_commit(each, 1.0) for each in records]
    results = await Posted(sessions, *commits).results()
    assert calls or name == "ungrouped", "a cluster has no transactions"
    assert len(results) == LEAST
    goes_on = [a_commit(after(commit), 2.0) for commit in commits[1:]]
    assert await Posted(sessions, *goes_on).results() == [Applied()] * len(goes_on)


@pytest.mark.pure
async def test_a_commit_that_cannot_be_written_keeps_no_other_from_being_sent(
    sessions: RedisSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [a_record() for _ in range(4)]
    for record in records:
        await sessions.create(record)
    real = sessions.fast_encoder.encode

    def broken(commit: Commit) -> bytes | None:
        if commit.before.key == records[2].key:
            raise RuntimeError("not to be written")
        return real(commit)

    monkeypatch.setattr(sessions.fast_encoder, "encode", broken)
    results = await Posted(sessions, *[a_commit(each, 1.0) for each in records]).results()
    assert [type(each) for each in results] == [Applied, Applied, StoreCorrupt, Applied]


async def test_strict_ticks_are_posted_as_well(redis_process: RedisProcess, open_sessions: OpenSessions) -> None:
    sessions, record = open_sessions(redis_process.url, wait=Wait(1, 50)), a_record()
    await sessions.create(record)
    [result] = await Posted(sessions, a_commit(record, 1.0)).results()
    assert isinstance(result, StoreUnavailable)
    assert result.outcome == "applied_not_durable"


@pytest.mark.parametrize("wait", [None, Wait(0, 1)])
async def test_a_primary_that_hangs_holds_up_no_other(
    redis_cluster: RedisCluster, open_sessions: OpenSessions, wait: Wait | None
) -> None:
    sessions = open_sessions(redis_cluster.url, wait=wait, patience_s=60)
    records = [a_record() for _ in range(24)]
    for record in records:
        await sessions.create(record)
    owners = [redis_cluster.owner(key_slot(sessions.keys.record(record.key))) for record in records]
    hanging = redis_cluster.primaries[1]
    others = [index for index, owner in enumerate(owners) if owner is not hanging]
    assert 0 < len(others) < len(records)
    with hanging.hangs():
        posted = Posted(sessions, *[a_commit(record, 1.0) for record in records])
        assert await posted.results(*others) == [Applied()] * len(others)
        assert sorted(posted.there) == others
    assert await posted.results() == [Applied()] * len(records)
