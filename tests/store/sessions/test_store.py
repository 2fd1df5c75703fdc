"""The session port: what every implementation has to do. Against a real Redis."""

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from cellar.errors import (
    CellarError,
    FingerprintMismatch,
    InvalidInput,
    SessionExpired,
    SessionUnknown,
    StepTaken,
    StoreCorrupt,
    StoreUnavailable,
)
from cellar.ports import APPEND, Applied, CommitConflict, CommitResult, Committed, Identity, SessionKey, SessionRecord
from cellar.store.keys import SessionKeys
from cellar.store.sessions.record_codec import unpack_past
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import sync_client
from tests.redis_process import RedisProcess
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.session_values import (
    a_change,
    a_commit,
    a_group,
    a_record,
    a_reset,
    after,
    answered,
    at,
    commit_of,
    only,
)

pytestmark = pytest.mark.anyio

WINDOW = 32


async def begin(sessions: RedisSessions, session: str | None = None) -> SessionRecord:
    record = a_record(session)
    assert await sessions.create(record) is None
    return record


async def applied(sessions: RedisSessions, record: SessionRecord, *values: float) -> SessionRecord:
    """Append a step for each value."""
    for value in values:
        commit = a_commit(record, value)
        [result] = await commit_all(sessions, [commit])
        assert result == Applied()
        record = after(commit)
    return record


def replayed(result: CommitResult | SessionRecord) -> Committed:
    assert isinstance(result, Committed)
    assert result.replayed
    return result


# --- life and death -------------------------------------------------------------------------------------------------


async def test_what_is_created_is_loaded(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    assert await sessions.load(record.key) == record


async def test_a_name_is_taken_once(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    there = await sessions.create(a_record(record.key.session))
    assert there is not None
    assert (there.meta, there.position) == (record.meta, record.position)
    assert 3590 < there.left_s <= 3600
    assert await sessions.load(record.key) == record


async def test_a_creation_that_comes_again_is_no_conflict(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    assert await sessions.create(record) is None


async def test_tenants_do_not_see_each_other(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    with pytest.raises(SessionUnknown):
        await sessions.load(SessionKey("other", record.key.session))
    assert await sessions.list("other", "", 10) == ([], "")


async def test_a_deleted_session_is_unknown(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    await sessions.delete(record.key)
    with pytest.raises(SessionUnknown):
        await sessions.delete(record.key)
    with pytest.raises(SessionUnknown):
        await sessions.load(record.key)
    [result] = await commit_all(sessions, [a_commit(record, 1.0)])
    assert isinstance(result, SessionUnknown)


async def test_an_expired_session_is_gone_and_later_unknown(sessions: RedisSessions, raw: "Raw") -> None:
    record = await begin(sessions)
    raw.expire_record(record.key)
    for call in (sessions.load(record.key), sessions.summary(record.key), sessions.find(record.key, APPEND, b"")):
        with pytest.raises(SessionExpired):
            await call
    [result] = await commit_all(sessions, [a_commit(record, 1.0)])
    assert isinstance(result, SessionExpired)
    raw.expire_tombstone(record.key)
    with pytest.raises(SessionUnknown):
        await sessions.summary(record.key)


async def test_every_change_renews_the_lifetime_but_the_tombstone_only_after_a_quarter(
    sessions: RedisSessions, raw: "Raw"
) -> None:
    record = await begin(sessions)
    day_ms, hour_ms = 86_400_000, 3_600_000
    born_ms = raw.tombstone_left_ms(record.key)
    assert day_ms + hour_ms < born_ms <= day_ms + 1.25 * hour_ms

    raw.client.pexpire(raw.keys.record(record.key), 1000)
    record = await applied(sessions, record, 1.0)
    assert hour_ms - 5000 < raw.record_left_ms(record.key) <= hour_ms
    assert raw.tombstone_left_ms(record.key) <= born_ms

    raw.client.pexpire(raw.keys.tombstone(record.key), day_ms + hour_ms - 1)
    record = await applied(sessions, record, 2.0)
    assert raw.tombstone_left_ms(record.key) > day_ms + 1.2 * hour_ms


async def test_a_summary_tells_all_but_the_state(sessions: RedisSessions) -> None:
    record = await applied(sessions, await begin(sessions), 1.0, 2.0)
    summary = await sessions.summary(record.key)
    assert (summary.key, summary.meta, summary.position) == (record.key, record.meta, record.position)


async def test_a_record_of_a_newer_version_is_refused(sessions: RedisSessions, raw: "Raw") -> None:
    record = await begin(sessions)
    raw.client.hset(raw.keys.record(record.key), "h", b"\xff" + b"\0" * 76)
    with pytest.raises(StoreCorrupt):
        await sessions.load(record.key)
    raw.client.set(raw.keys.record(SessionKey("default", "text")), "not a hash")
    with pytest.raises(StoreCorrupt):
        await sessions.load(SessionKey("default", "text"))


# --- commits --------------------------------------------------------------------------------------------------------


async def test_a_commit_moves_the_session(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    commit = a_commit(record, 7.0)
    [result] = await commit_all(sessions, [commit])
    assert result == Applied()
    assert await sessions.load(record.key) == after(commit)


async def test_a_commit_that_comes_twice_is_applied_once(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    commit = a_commit(record, 7.0, identity=Identity(step=0))
    await commit_all(sessions, [commit])
    [result] = await commit_all(sessions, [commit])
    assert result == answered(commit)
    assert await sessions.load(record.key) == after(commit)


@pytest.mark.parametrize("others", [0, WINDOW - 1])
async def test_a_group_that_is_doubled_on_its_way_is_applied_once_and_whole(
    sessions: RedisSessions, others: int
) -> None:
    """By a proxy that tries again. Nothing but its nonce tells an append, so none of the group may run again."""
    record = await begin(sessions)
    numbered = a_change(record.position, 1.0, identity=Identity(writer="pump", seq=1))
    group = commit_of(record, numbered, a_change(numbered.after, 2.0))
    await commit_all(sessions, [group])
    there = await applied(sessions, after(group), *range(others))  # the first entry may be gone by then
    assert await commit_all(sessions, [group]) == [Applied()]
    assert await sessions.load(record.key) == there


async def test_two_appends_of_the_same_value_are_two_steps(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    await commit_all(sessions, [a_commit(record, 7.0)])
    [result] = await commit_all(sessions, [a_commit(record, 7.0)])
    assert isinstance(result, CommitConflict)
    assert result.record == await sessions.load(record.key)
    assert result.record.revision == 1


async def test_two_requests_for_one_position_with_one_body_are_one_step(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    first = a_commit(record, 7.0, identity=at(record.position))
    await commit_all(sessions, [first])
    [result] = await commit_all(sessions, [a_commit(record, 7.0, identity=at(record.position))])
    assert replayed(result) == answered(first)


async def test_a_step_alone_means_the_present_epoch_also_to_a_process_that_missed_the_reset(
    sessions: RedisSessions,
) -> None:
    record = await begin(sessions)
    first = a_commit(record, 7.0, identity=Identity(step=0))
    await commit_all(sessions, [first])
    await commit_all(sessions, [a_reset(after(first))])
    [result] = await commit_all(sessions, [a_commit(record, 7.0, identity=Identity(step=0))])
    assert isinstance(result, CommitConflict)
    [result] = await commit_all(sessions, [a_commit(record, 7.0, identity=at(record.position))])
    assert replayed(result).position == only(first).after


async def test_a_tick_commits_what_it_can(sessions: RedisSessions) -> None:
    records = [await begin(sessions) for _ in range(3)]
    await commit_all(sessions, [a_commit(records[1], 1.0)])
    results = await commit_all(sessions, [a_commit(record, 5.0) for record in records])
    assert [type(result) for result in results] == [Applied, CommitConflict, Applied]


async def test_a_redis_that_forgot_the_script_is_given_it_again(sessions: RedisSessions, raw: "Raw") -> None:
    record = await applied(sessions, await begin(sessions), 1.0)
    raw.client.script_flush()
    assert (await applied(sessions, record, 2.0, 3.0)).revision == 3


async def test_a_loser_that_asks_is_heard_by_the_next_winner(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    winner = a_commit(record, 1.0)
    await commit_all(sessions, [winner])
    [lost] = await commit_all(sessions, [a_commit(record, 2.0, wanted_pause_s=0.05)])
    assert isinstance(lost, CommitConflict)
    second = a_commit(after(winner), 3.0)
    [result] = await commit_all(sessions, [second])
    assert result == Applied(pause_s=0.05)
    [result] = await commit_all(sessions, [a_commit(after(second), 4.0)])
    assert result == Applied()


# --- several requests in one commit ---------------------------------------------------------------------------------


async def test_a_group_moves_the_session_by_all_its_changes(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    group = a_group(record, [1.0], [2.0, 3.0], [4.0])
    assert await commit_all(sessions, [group]) == [Applied()]
    there = await sessions.load(record.key)
    assert there == after(group)
    assert (there.revision, there.position.step) == (3, 4)


async def test_each_request_of_a_group_is_replayed_by_itself(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    identities = [Identity(step=0), Identity(writer="pump", seq=1), Identity(step=2)]
    before, changes = record.position, []
    for value, identity in enumerate(identities):
        changes.append(a_change(before, value, identity=identity))
        before = changes[-1].after
    await commit_all(sessions, [commit_of(record, *changes)])
    for change in changes:
        found = await sessions.find(record.key, change.identity, change.fingerprint)
        assert replayed(found) == Committed(change.after, 1, change.output, replayed=True)


async def test_a_group_that_lost_the_race_changes_nothing(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    winner = a_commit(record, 9.0)
    await commit_all(sessions, [winner])
    [result] = await commit_all(sessions, [a_group(record, [1.0], [2.0])])
    assert result == CommitConflict(after(winner))
    assert await sessions.load(record.key) == after(winner)


async def test_a_group_whose_first_request_came_before_is_a_replay_of_that_alone(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    first = a_commit(record, 1.0, identity=Identity(step=0))
    await commit_all(sessions, [first])
    again = a_change(record.position, 1.0, identity=Identity(step=0))
    [result] = await commit_all(sessions, [commit_of(record, again, a_change(again.after, 2.0))])
    assert result == answered(first)
    assert await sessions.load(record.key) == after(first)


async def test_a_writer_is_answered_when_the_ring_has_forgotten_its_request(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    mine = a_commit(record, 1.0, identity=Identity(writer="pump", seq=1))
    await commit_all(sessions, [mine])
    record = await applied(sessions, after(mine), *range(WINDOW + 1))
    assert replayed(await sessions.find(record.key, only(mine).identity, only(mine).fingerprint)) == answered(mine)
    assert (await sessions.load(record.key)).writers.last("pump") == 1


# --- what a session keeps besides -----------------------------------------------------------------------------------


async def test_a_session_keeps_states_inputs_and_events_if_asked(sessions: RedisSessions, raw: "Raw") -> None:
    born = a_record()
    record = dataclasses.replace(born, meta=dataclasses.replace(born.meta, history=2, log=100, events=100))
    assert await sessions.create(record) is None
    states = [record.state]
    for value in (1.0, 2.0, 3.0):
        commit = a_commit(record, value)
        assert await commit_all(sessions, [commit]) == [Applied()]
        record = after(commit)
        states.append(record.state)
    fields: Any = raw.client.hgetall(raw.keys.record(record.key))
    kept = [unpack_past(value) for name, value in fields.items() if name.startswith(b"p")]
    assert sorted((revision, state) for revision, _, state in kept) == [(1, states[1]), (2, states[2])]
    log: Any = raw.client.xrange(raw.keys.log(record.key))
    assert [number for number, _ in log] == [b"0-1", b"1-0", b"2-0", b"3-0"]
    assert log[0][1] == {b"k": b"create", b"p": str(born.position).encode(), b"n": b"0", b"s": born.state}
    assert log[3][1] == {b"k": b"step", b"p": str(record.position).encode(), b"n": b"1", b"i": only(commit).inputs}
    events: Any = raw.client.xrange(raw.keys.events(record.key))
    assert events[3][1] == {b"t": b"step", b"p": str(record.position).encode(), b"n": b"1", b"o": only(commit).output}
    assert raw.client.pttl(raw.keys.log(record.key)) > 0
    assert raw.client.pttl(raw.keys.events(record.key)) > 0
    await sessions.delete(record.key)
    assert not raw.client.exists(raw.keys.log(record.key), raw.keys.events(record.key))


async def test_a_commit_may_change_what_is_known_of_the_session(sessions: RedisSessions, raw: "Raw") -> None:
    record = await begin(sessions)
    pinned = dataclasses.replace(a_commit(record, 1.0), meta=dataclasses.replace(record.meta, pinned=True, ttl_s=5))
    assert await commit_all(sessions, [pinned]) == [Applied()]
    assert await sessions.load(record.key) == after(pinned)
    assert raw.client.pttl(raw.keys.record(record.key)) == -1
    again = dataclasses.replace(a_commit(after(pinned), 1.0), meta=dataclasses.replace(record.meta, ttl_s=5))
    assert await commit_all(sessions, [again]) == [Applied()]
    assert 0 < raw.client.pttl(raw.keys.record(record.key)) <= 5000


# --- requests seen before -------------------------------------------------------------------------------------------


async def test_a_new_request_is_given_the_record_to_run_on(sessions: RedisSessions) -> None:
    record = await applied(sessions, await begin(sessions), 1.0)
    for identity in (APPEND, at(record.position), Identity(step=1), Identity(key="k")):
        assert await sessions.find(record.key, identity, b"f" * 16) == record


async def test_a_request_in_the_window_is_replayed_and_later_no_more(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    first = a_commit(record, 1.0, identity=at(record.position))
    await commit_all(sessions, [first])
    record = await applied(sessions, after(first), *range(WINDOW - 1))
    found = await sessions.find(record.key, only(first).identity, only(first).fingerprint)
    assert replayed(found).output == only(first).output
    record = await applied(sessions, record, 99.0)
    with pytest.raises(CellarError) as caught:
        await sessions.find(record.key, only(first).identity, only(first).fingerprint)
    assert caught.value.slug == "replay_expired"


async def test_a_change_of_another_epoch_is_replayed_too(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    step = a_commit(record, 1.0, identity=at(record.position))
    await commit_all(sessions, [step])
    reset = a_reset(after(step), identity=at(only(step).after))
    await commit_all(sessions, [reset])
    found = await sessions.find(record.key, only(step).identity, only(step).fingerprint)
    assert replayed(found).position == only(step).after
    found = await sessions.find(record.key, only(reset).identity, only(reset).fingerprint)
    assert replayed(found) == answered(reset)


async def test_another_body_at_a_committed_step_is_refused_with_the_position(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    first = a_commit(record, 1.0, identity=Identity(step=0))
    await commit_all(sessions, [first])
    with pytest.raises(StepTaken) as caught:
        await sessions.find(record.key, Identity(step=0), b"other body 16 by")
    assert caught.value.position == str(only(first).after)


async def test_an_output_over_the_cap_is_not_kept(redis_url: str, open_sessions: OpenSessions) -> None:
    sessions = open_sessions(redis_url, output_cap_bytes=8)
    record = await begin(sessions)
    first = a_commit(record, 1.0, identity=Identity(step=0, key="k"), output=b"12345678")
    second = a_commit(after(first), 1.0, identity=Identity(step=1, key="l"), output=b"123456789")
    await commit_all(sessions, [first])
    assert await commit_all(sessions, [second]) == [Applied()]
    for key in (None, "k"):
        found = await sessions.find(record.key, Identity(step=0, key=key), only(first).fingerprint)
        assert replayed(found).output == only(first).output
    for key in (None, "l"):
        found = await sessions.find(record.key, Identity(step=1, key=key), only(second).fingerprint)
        assert replayed(found) == Committed(only(second).after, 1, None, replayed=True)


async def test_a_key_is_answered_wherever_the_session_stands(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    first = a_commit(record, 1.0, identity=Identity(key="k"))
    await commit_all(sessions, [first])
    record = await applied(sessions, after(first), *range(WINDOW + 4))
    [result] = await commit_all(sessions, [a_commit(record, 1.0, identity=Identity(key="k"))])
    assert replayed(result) == answered(first)
    assert replayed(await sessions.find(record.key, Identity(key="k"), only(first).fingerprint)) == result
    assert await sessions.load(record.key) == record


async def test_a_key_with_another_body_is_refused(sessions: RedisSessions) -> None:
    record = await begin(sessions)
    first = a_commit(record, 1.0, identity=Identity(key="k"))
    await commit_all(sessions, [first])
    [result] = await commit_all(sessions, [a_commit(after(first), 2.0, identity=Identity(key="k"))])
    assert isinstance(result, FingerprintMismatch)
    with pytest.raises(FingerprintMismatch):
        await sessions.find(record.key, Identity(key="k"), b"other body 16 by")


async def test_a_key_of_an_earlier_session_of_that_name_does_not_count(sessions: RedisSessions) -> None:
    record = await begin(sessions, "phoenix")
    await commit_all(sessions, [a_commit(record, 1.0, identity=Identity(key="k"))])
    await sessions.delete(record.key)
    again = await begin(sessions, "phoenix")
    assert await sessions.find(again.key, Identity(key="k"), b"f" * 16) == again
    [result] = await commit_all(sessions, [a_commit(again, 2.0, identity=Identity(key="k"))])
    assert result == Applied()


async def test_a_key_is_remembered_for_its_time(redis_url: str, open_sessions: OpenSessions, raw: "Raw") -> None:
    sessions = open_sessions(redis_url, idempotency_ttl_s=60)
    record = await begin(sessions)
    await commit_all(sessions, [a_commit(record, 1.0, identity=Identity(key="k"))])
    assert 55_000 < raw.left_ms(raw.keys.answers(record.key)) <= 60_000


# --- listing and the server -----------------------------------------------------------------------------------------


async def test_a_listing_has_every_session_once_and_no_dead_one(sessions: RedisSessions, raw: "Raw") -> None:
    records = [await begin(sessions, f"s{number}") for number in range(60)]
    raw.expire_record(records[0].key)
    await sessions.delete(records[1].key)
    for limit in (1, 7, 100):
        names: list[str] = []
        cursor, pages = "", 0
        while pages == 0 or cursor:
            page, cursor = await sessions.list("default", cursor, limit)
            assert len(page) <= limit
            names += [summary.key.session for summary in page]
            pages += 1
        assert sorted(names) == sorted(record.key.session for record in records[2:])
    assert not raw.client.exists(raw.keys.bucket_of(records[0].key))


async def test_a_cursor_of_ones_own_making_is_refused(sessions: RedisSessions) -> None:
    with pytest.raises(InvalidInput) as caught:
        await sessions.list("default", "zz/../", 10)
    assert caught.value.pointer == "/cursor"


async def test_ping_tells_what_the_server_gives(sessions: RedisSessions) -> None:
    told = await sessions.ping()
    assert told.keys() == {"redis_version", "durability", "maxmemory_policy", "primaries", "replicas"}


async def test_ping_of_a_full_server_and_of_one_that_tells_little(
    redis_process: RedisProcess, open_sessions: OpenSessions
) -> None:
    store = open_sessions(redis_process.url)
    with redis_process.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-config")
        assert (await store.ping())["durability"] == "unknown"
        client.execute_command("ACL", "SETUSER", "default", "+config")
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "volatile-ttl")
        with pytest.raises(StoreUnavailable, match="volatile-ttl"):
            await store.ping()
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "100kb")
        with pytest.raises(StoreUnavailable, match="memory limit"):
            await store.ping()


async def test_memory_of_a_session(sessions: RedisSessions, raw: "Raw") -> None:
    """A session with an empty ring stays within the bar: 1.3 times its state and 800 bytes, tombstone included."""
    record = dataclasses.replace(a_record(), state=b"\1" * 4096)
    await sessions.create(record)
    keys = [raw.keys.record(record.key), raw.keys.tombstone(record.key)]
    used = sum(int(raw.client.memory_usage(key) or 0) for key in keys)
    assert used <= 1.3 * len(record.state) + 800


class Raw:
    """The Redis behind a store, and the names of its keys."""

    def __init__(self, client: "redis.Redis", keys: SessionKeys) -> None:
        self.client = client
        self.keys = keys

    def left_ms(self, key: bytes) -> int:
        left = self.client.pttl(key)
        assert isinstance(left, int)
        return left

    def record_left_ms(self, key: SessionKey) -> int:
        return self.left_ms(self.keys.record(key))

    def tombstone_left_ms(self, key: SessionKey) -> int:
        return self.left_ms(self.keys.tombstone(key))

    def expire_record(self, key: SessionKey) -> None:
        """Let the record's lifetime end now."""
        assert self.client.pexpire(self.keys.record(key), 0)

    def expire_tombstone(self, key: SessionKey) -> None:
        assert self.client.pexpire(self.keys.tombstone(key), 0)


@pytest.fixture
def raw(redis_url: str, sessions: RedisSessions) -> Iterator["Raw"]:
    """Yield the Redis behind `sessions`."""
    with closing(sync_client(redis_url)) as client:
        yield Raw(client, sessions.keys)
