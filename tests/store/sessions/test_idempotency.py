"""Idempotency-Keys: a session keeps its last answers, and never applies a request that it knows to have applied."""

import pytest

from cellar.errors import ReplayExpired
from cellar.ports import Applied, Commit, Committed, Identity, SessionRecord
from cellar.store.sessions.keyed_answer import MOST_ANSWERS, key_digest, pack_keyed
from cellar.store.sessions.store import RedisSessions
from tests.redis_process import RedisProcess
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_commit, a_record

pytestmark = pytest.mark.anyio

OUTPUT = bytes(4 * 64)


@pytest.fixture
def store(redis_process: RedisProcess, open_sessions: OpenSessions) -> RedisSessions:
    """Return a store on a Redis of its own."""
    return open_sessions(redis_process.url)


async def keyed(store: RedisSessions, record: SessionRecord, first: int, count: int) -> list[Commit]:
    """Commit requests with one key each."""
    done: list[Commit] = []
    for number in range(first, first + count):
        commit = a_commit(record, float(number), identity=Identity(key=f"key {number}"), output=OUTPUT)
        assert await commit_all(store, [commit]) == [Applied()]
        record = commit.after
        done.append(commit)
    return done


async def again(store: RedisSessions, commit: Commit, now: SessionRecord) -> list[object]:
    """Return how a repetition is answered by a commit, and by a read before it."""
    change = commit.changes[0]
    [result] = await commit_all(store, [Commit(now, commit.changes, commit.state)])
    try:
        found: object = await store.find(now.key, Identity(key=change.identity.key), change.fingerprint)
    except ReplayExpired as error:
        found = error
    return [result, found]


async def test_the_last_answers_are_repeated_and_earlier_requests_are_not_applied_again(store: RedisSessions) -> None:
    record = a_record()
    await store.create(record)
    done = await keyed(store, record, 0, 2 * MOST_ANSWERS)
    now = done[-1].after
    for commit in done[-MOST_ANSWERS:]:
        answer = Committed(commit.after.position, 1, OUTPUT, replayed=True)
        assert await again(store, commit, now) == [answer, answer]
    for commit in done[:-MOST_ANSWERS]:
        for found in await again(store, commit, now):
            assert isinstance(found, ReplayExpired)
            assert found.position == str(now.position)
    assert await store.load(record.key) == now


async def test_what_a_session_keeps_for_its_keys_is_bounded(store: RedisSessions, redis_process: RedisProcess) -> None:
    record = a_record()
    await store.create(record)
    taken: list[int] = []
    with redis_process.client() as client:
        for count in (200, 1_000, 2_000):
            record = (await keyed(store, record, record.revision, count))[-1].after
            taken.append(int(client.memory_usage(store.keys.answers(record.key), samples=0) or 0))
        assert not list(client.scan_iter(b"*:k:*"))
    assert taken[0] < 40_000, taken
    assert taken[2] < 80_000, taken


async def test_an_answer_that_an_earlier_version_stored_counts(
    store: RedisSessions, redis_process: RedisProcess
) -> None:
    record = a_record()
    await store.create(record)
    commit = a_commit(record, 1.0, identity=Identity(key="older"))
    [change] = commit.changes
    with redis_process.client() as client:
        client.set(store.keys.older_answer(record.key, "older"), pack_keyed(change, record.meta, 4096), px=10_000)
    answer = Committed(change.after, 1, change.output, replayed=True)
    assert await again(store, commit, record) == [answer, answer]
    assert await store.load(record.key) == record


async def test_a_key_is_new_again_after_its_time(store: RedisSessions, redis_process: RedisProcess) -> None:
    record = a_record()
    await store.create(record)
    done = await keyed(store, record, 0, MOST_ANSWERS + 1)
    answers, ended = store.keys.answers(record.key), (1).to_bytes(4, "big")
    with redis_process.client() as client:  # as if a day had gone
        for commit in done:
            digest = key_digest(commit.changes[0].identity.key or "")
            answer = client.hget(answers, digest)
            if answer is not None:
                client.hset(answers, digest, ended + answer[4:])
        first = key_digest("key 0")
        client.hset(answers, b"b%d" % (first[0] % 128), first + ended)
    record = done[-1].after
    for number in (0, MOST_ANSWERS):
        (commit,) = await keyed(store, record, number, 1)
        record = commit.after
        [result, found] = await again(store, commit, record)
        assert result == found == Committed(commit.after.position, 1, OUTPUT, replayed=True)


async def test_an_answer_of_a_key_that_was_used_again_stays_when_its_first_place_is_taken(
    store: RedisSessions, redis_process: RedisProcess
) -> None:
    record = a_record()
    await store.create(record)
    (first,) = await keyed(store, record, 0, 1)
    answers, digest = store.keys.answers(record.key), key_digest("key 0")
    with redis_process.client() as client:
        answer = client.hget(answers, digest) or b""
        client.hset(answers, mapping={digest: b"\0\0\0\1" + answer[4:], "1": digest + b"\0\0\0\1"})
    (second,) = await keyed(store, first.after, 0, 1)
    done = await keyed(store, second.after, 1, MOST_ANSWERS - 1)
    assert (await again(store, second, done[-1].after))[0] == Committed(second.after.position, 1, OUTPUT, replayed=True)


async def test_a_full_redis_forgets_no_answer(store: RedisSessions, redis_process: RedisProcess) -> None:
    record = a_record()
    await store.create(record)
    (done,) = await keyed(store, record, 0, 1)
    with redis_process.client() as client:
        client.config_set("maxmemory", 1)
        answer = Committed(done.after.position, 1, OUTPUT, replayed=True)
        assert await again(store, done, done.after) == [answer, answer]
        client.config_set("maxmemory", 0)
