"""Redis that refuses, hangs, is killed or loses data: the answer of a commit, and the record after it."""

import asyncio
import shutil
import signal
import time

import pytest

from cellar.errors import SessionUnknown, StoreUnavailable
from cellar.ports import Applied, Commit, CommitConflict, CommitResult, Committed, Identity, SessionRecord
from cellar.store.sessions.record_codec import pack_head
from cellar.store.sessions.store import DELETE, RedisSessions
from tests.proxy import LossyProxy, first
from tests.redis_process import RedisProcess
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_change, a_commit, a_record, after, answered, commit_of
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def record(redis_process: RedisProcess, open_sessions: OpenSessions) -> SessionRecord:
    """Return a session in the Redis to be mistreated."""
    record = a_record()
    await open_sessions(redis_process.url).create(record)
    return record


async def commit_one(sessions: RedisSessions, commit: Commit) -> CommitResult:
    [result] = await commit_all(sessions, [commit])
    return result


def refused(result: CommitResult) -> StoreUnavailable:
    assert isinstance(result, StoreUnavailable)
    return result


# --- Redis refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_full_redis_refuses_the_whole_commit_and_still_replays(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord, key: str | None
) -> None:
    sessions = open_sessions(redis_process.url)
    done = a_commit(record, 1.0, identity=Identity(step=0))
    await commit_all(sessions, [done])
    with redis_process.client() as client:
        stored = client.hgetall(sessions.keys.record(record.key))
        client.config_set("maxmemory", 1)
        result = refused(await commit_one(sessions, a_commit(after(done), 2.0, identity=Identity(key=key))))
        assert result.outcome == "not_applied"
        assert "memory" in result.detail
        assert client.hgetall(sessions.keys.record(record.key)) == stored
        assert not client.exists(sessions.keys.answers(record.key))
        assert (await commit_one(sessions, done)) == answered(done)
        with pytest.raises(StoreUnavailable):
            await sessions.create(a_record())
        client.config_set("maxmemory", 0)
    assert isinstance(await commit_one(sessions, a_commit(after(done), 2.0)), Applied)


async def test_a_read_only_replica_refuses(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    sessions = open_sessions(redis_process.url)
    with redis_process.client() as client:

        def connections() -> set[str]:
            return {there["id"] for there in client.client_list() if there["name"] == "cellar"}

        client.replicaof("127.0.0.1", 1)
        await sessions.load(record.key)
        before = connections()
        result = refused(await commit_one(sessions, a_commit(record, 1.0)))
        assert (result.outcome, result.retry_after_s) == ("not_applied", 1)
        client.replicaof("NO", "ONE")
        assert isinstance(await commit_one(sessions, a_commit(record, 1.0)), Applied)
        assert connections() - before, "the address is resolved again: it may lead to the new primary"


async def test_a_redis_that_cannot_persist_refuses(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    sessions = open_sessions(redis_process.url)
    with redis_process.client() as client:
        away = redis_process.directory / "away"
        away.mkdir()
        client.config_set("dir", str(away))
        shutil.rmtree(away)
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        result = refused(await commit_one(sessions, a_commit(record, 1.0)))
        assert result.outcome == "not_applied"
        assert "persist" in result.detail
        client.config_set("save", "")
    assert isinstance(await commit_one(sessions, a_commit(record, 1.0)), Applied)


async def test_a_redis_that_is_loading_refuses_and_then_has_everything(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    sessions = open_sessions(redis_process.url)
    with redis_process.client() as client:
        client.config_set("rdbcompression", "no")
        client.mset({f"filler {number}": "x" * 100_000 for number in range(100)})
        client.config_set("aof-use-rdb-preamble", "yes")
        client.bgrewriteaof()
        wait_until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
    redis_process.kill()
    redis_process.start("--key-load-delay", "10000", wait=False)  # us: a second in all, and it answers every 2 MiB
    wait_until(redis_process.socket.exists)
    outcomes = set()
    deadline = time.monotonic() + 10
    while isinstance(result := await commit_one(sessions, a_commit(record, 1.0)), StoreUnavailable):
        outcomes.add((result.detail, result.outcome))
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert ("Redis is loading its data", "not_applied") in outcomes
    assert isinstance(result, Applied)


# --- Redis is gone --------------------------------------------------------------------------------------------------


async def test_without_redis_nothing_is_applied_and_the_store_comes_back_by_itself(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    sessions = open_sessions(redis_process.url)
    commit = a_commit(record, 1.0)
    await sessions.load(record.key)
    redis_process.kill()
    await asyncio.sleep(0.05)  # until the loop has seen the connection end
    assert refused(await commit_one(sessions, commit)).outcome == "not_applied"
    with pytest.raises(StoreUnavailable) as caught:
        await sessions.load(record.key)
    assert caught.value.outcome == "not_applied"
    redis_process.start()
    assert await sessions.load(record.key) == record
    assert isinstance(await commit_one(sessions, commit), Applied)
    redis_process.kill()
    redis_process.start()
    assert await sessions.load(record.key) == after(commit)  # acknowledged, so on disk


async def test_a_redis_killed_under_a_commit_gets_it_again_when_it_is_back(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    sessions = open_sessions(redis_process.url)
    await sessions.load(record.key)
    redis_process.signal(signal.SIGSTOP)
    commit = a_commit(record, 1.0)
    under_way = asyncio.create_task(commit_one(sessions, commit))
    await asyncio.sleep(0.05)  # until it is in Redis' socket, where it is not read
    redis_process.kill()
    redis_process.start()
    assert await under_way == Applied()
    assert await sessions.load(record.key) == after(commit)


async def test_a_redis_that_hangs_gets_the_commit_again_and_applies_it_once(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    sessions = open_sessions(redis_process.url, reply_timeout_s=0.2)
    await sessions.load(record.key)
    redis_process.signal(signal.SIGSTOP)
    commit = a_commit(record, 1.0)
    under_way = asyncio.create_task(commit_one(sessions, commit))
    await asyncio.sleep(0.4)  # beyond the timeout: the first connection is given up, its commit still in the socket
    redis_process.signal(signal.SIGCONT)
    assert await under_way == Applied()
    assert await sessions.load(record.key) == after(commit)


async def test_patience_ends_with_an_unknown_outcome(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    sessions = open_sessions(redis_process.url, reply_timeout_s=0.1, patience_s=0.3)
    await sessions.load(record.key)
    redis_process.signal(signal.SIGSTOP)
    began = time.monotonic()
    assert refused(await commit_one(sessions, a_commit(record, 1.0))).outcome == "unknown"
    assert time.monotonic() - began < 5
    redis_process.signal(signal.SIGCONT)


# --- replies are lost -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", [Identity(), Identity(step=0), Identity(writer="pump", seq=1)])
async def test_a_group_whose_reply_is_lost_is_applied_once(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord, identity: Identity
) -> None:
    async with LossyProxy(redis_process.url, first(2)) as proxy:
        sessions = open_sessions(proxy.url)
        first_change = a_change(record.position, 1.0, identity=identity)
        commit = commit_of(record, first_change, a_change(first_change.after, 2.0))
        assert await commit_one(sessions, commit) == Applied()
        assert proxy.cuts == 2
        assert await sessions.load(record.key) == after(commit)


async def test_a_group_that_was_not_applied_is_not_taken_for_one_that_shares_a_request_and_a_history(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    """Another process commits the second request of the group, behind a first one of the same content.

    The histories are equal, digests and all; only the entries tell that this first request has not happened.
    """
    mine = a_change(record.position, 1.0)
    shared = a_change(mine.after, 2.0, identity=Identity(step=1))
    theirs = commit_of(record, a_change(record.position, 1.0), shared)
    assert await commit_one(open_sessions(redis_process.url), theirs) == Applied()
    async with LossyProxy(redis_process.url, first(1)) as proxy:
        result = await commit_one(open_sessions(proxy.url), commit_of(record, mine, shared))
        assert proxy.cuts == 1
        assert result == CommitConflict(after(theirs))


@pytest.mark.parametrize("identity", [Identity(), Identity(step=0), Identity(key="k")])
async def test_a_commit_whose_reply_is_lost_is_applied_once(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord, identity: Identity
) -> None:
    async with LossyProxy(redis_process.url, first(2)) as proxy:
        sessions = open_sessions(proxy.url)
        commit = a_commit(record, 1.0, identity=identity)
        assert await commit_one(sessions, commit) == Applied()
        assert proxy.cuts == 2
        assert await sessions.load(record.key) == after(commit)


async def test_a_creation_whose_reply_is_lost_is_made_once(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    async with LossyProxy(redis_process.url, first(1)) as proxy:
        sessions, record = open_sessions(proxy.url), a_record()
        assert await sessions.create(record) is None
        assert proxy.cuts == 1
        assert await sessions.load(record.key) == record


async def test_a_deletion_whose_reply_is_lost_is_a_deletion(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    lost = iter([True])
    async with LossyProxy(redis_process.url, lambda request: DELETE.sha in request and next(lost, False)) as proxy:
        sessions = open_sessions(proxy.url)
        await sessions.delete(record.key)
        assert proxy.cuts == 1
        with pytest.raises(SessionUnknown):
            await sessions.load(record.key)


async def test_a_deletion_that_is_sent_again_spares_a_new_session_of_the_name(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    lost = iter([True])
    others = open_sessions(redis_process.url)
    made = a_record(record.key.session)

    def loses(request: bytes) -> bool:
        if DELETE.sha in request and next(lost, False):
            with redis_process.client() as client:  # what another client has done before the second sending
                client.delete(others.keys.record(record.key))
                client.hset(others.keys.record(record.key), "h", pack_head(made.meta, made.position, 0))
            return True
        return False

    async with LossyProxy(redis_process.url, loses) as proxy:
        await open_sessions(proxy.url).delete(record.key)
    with redis_process.client() as client:
        assert client.exists(others.keys.record(record.key))


async def test_a_read_whose_reply_is_lost_is_read_again(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    lost = iter([True])
    async with LossyProxy(redis_process.url, lambda request: b"HMGET" in request and next(lost, False)) as proxy:
        assert await open_sessions(proxy.url).load(record.key) == record
        assert proxy.cuts == 1


async def test_a_commit_that_lost_its_reply_and_the_race_says_so(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    """The request never reached Redis; another process took its place before it was sent again."""
    other = a_commit(record, 2.0)

    def not_even_sent(request: bytes) -> bool:
        return b"EVALSHA" in request and not stolen.done()

    stolen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    direct = open_sessions(redis_process.url)
    async with LossyProxy(redis_process.url, not_even_sent) as proxy:
        sessions = open_sessions(proxy.url)
        await commit_all(direct, [other])
        proxy.after_cut = lambda: stolen.set_result(None)
        result = await commit_one(sessions, a_commit(record, 1.0))
    assert not isinstance(result, Applied | Committed | StoreUnavailable)
    assert await direct.load(record.key) == after(other)


async def test_a_commit_that_can_no_longer_be_found_is_never_run_again(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    """Applied, reply lost, and thirty-two changes later its ring entry is gone: it may not be taken for a lost race."""
    async with LossyProxy(redis_process.url, first(1)) as proxy:
        sessions = open_sessions(proxy.url)
        commit = a_commit(record, 1.0)
        moved_on: list[SessionRecord] = []

        def move_on() -> None:
            with redis_process.client() as client:
                before = after(commit)
                for value in range(32):
                    next_one = a_commit(before, value)
                    client.execute_command(*open_sessions(redis_process.url).encoder.call(next_one))
                    before = after(next_one)
                moved_on.append(before)

        proxy.after_cut = move_on
        assert refused(await commit_one(sessions, commit)).outcome == "unknown"
        assert await sessions.load(record.key) == moved_on[0]


async def test_scripts_that_are_not_kept_are_given_again(
    redis_process: RedisProcess, open_sessions: OpenSessions, record: SessionRecord
) -> None:
    """Somebody empties them between their coming and their use, or, as here, does not let them in."""
    given = 0

    def let_in_the_second(request: bytes) -> bool:
        nonlocal given
        given += b"SCRIPT" in request
        if given == 2:
            client.acl_setuser("default", enabled=True, commands=["+script"])
        return False

    with redis_process.client() as client:
        async with LossyProxy(redis_process.url, let_in_the_second) as proxy:
            client.script_flush()
            client.acl_setuser("default", enabled=True, commands=["-script"])
            result = await commit_one(open_sessions(proxy.url), a_commit(record, 1.0))
    assert isinstance(result, Applied)
    assert given == 2
