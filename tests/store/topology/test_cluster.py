"""A cluster whose slots move and whose primaries die: every step that was acknowledged is there, once and in order."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, suppress
from itertools import count

import pytest
import redis

from cellar.errors import StoreUnavailable
from cellar.ports import Applied, Commit, CommitResult, Identity, SessionKey, SessionRecord
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Wait
from cellar.store.protocol.errors import redis_errors
from cellar.store.protocol.resp import Command, ReplyError
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.cluster import Cluster
from cellar.store.topology.factory import open_router, sync_client
from cellar.store.topology.slots import slot_of
from tests.redis_cluster import RedisCluster
from tests.redis_node import RedisNode
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.history import History
from tests.store.session_values import a_commit, a_record, after
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def route(redis_cluster: RedisCluster) -> AsyncIterator[Cluster]:
    """Yield a route of the test's own, which has read no map yet."""
    route = open_router(redis_cluster.url)
    assert isinstance(route, Cluster)
    yield route
    await route.aclose()


def key_of(node: int, also: str = "") -> bytes:
    """Return a key in the slots that a primary has in the beginning; those with the same `also` share a slot."""
    return next(key for n in count() if slot_of((b"GET", key := b"{%d}%s" % (n, also.encode()))) * 3 // 16384 == node)


KEYS = [key_of(node) for node in range(3)]


def sessions_in(sessions: RedisSessions, slot: int) -> Iterator[SessionRecord]:
    """Yield new sessions whose keys lie in a slot."""
    for number in count():
        key = SessionKey("default", f"s{number}")
        if slot_of((b"HGET", sessions.keys.record(key))) == slot:
            yield a_record(key.session)


# --- one call, several primaries ------------------------------------------------------------------------------------


async def test_replies_come_in_the_order_of_the_commands(route: Cluster) -> None:
    for _ in range(2):
        told, copies = await route.send(
            [command for key in (*KEYS, *KEYS[::-1]) for command in [(b"SET", key, key), (b"GET", key)]]
        )
        assert told == [reply for key in (*KEYS, *KEYS[::-1]) for reply in (b"OK", key)]
        assert copies == ()


async def test_there_is_one_connection_to_each_primary(route: Cluster, redis_cluster: RedisCluster) -> None:
    def connections(node: RedisNode) -> int:
        return int(node("CLIENT", "LIST").count(b"name=cellar"))

    before = [connections(node) for node in redis_cluster.nodes]
    await asyncio.gather(*[route.send([(b"GET", key) for key in KEYS]) for _ in range(20)])
    wait_until(
        lambda: [connections(node) for node in redis_cluster.nodes] == [*(n + 1 for n in before[:3]), *before[3:]]
    )


async def test_an_error_is_one_reply_among_others(route: Cluster) -> None:
    (before, error, later), _ = await route.send([(b"SET", KEYS[0], b"a"), (b"LPUSH", KEYS[0]), (b"GET", KEYS[0])])
    assert (before, later) == (b"OK", b"a")
    assert isinstance(error, ReplyError)


async def test_in_order_nothing_runs_before_what_stands_in_front_of_it(route: Cluster) -> None:
    commands: list[Command] = [(b"SET", KEYS[0], b"a"), (b"LPUSH", KEYS[1]), (b"DEL", KEYS[0])]
    (first, second, third), _ = await route.send(commands, in_order=True)
    assert first == b"OK"
    assert isinstance(second, ReplyError)
    assert isinstance(third, StoreUnavailable)
    assert third.outcome == "not_applied"
    assert (await route.send([(b"GET", KEYS[0])])).replies == [b"a"]


async def test_each_primary_that_has_a_part_waits_for_its_replicas(route: Cluster) -> None:
    commands: list[Command] = [(b"SET", key, b"a") for key in KEYS]
    told, copies = await route.send(commands, wait=Wait(1, 100))
    assert told == [b"OK"] * 3
    assert list(copies) == [1, 0, 0], "the first alone has a replica"


async def test_the_probe_of_every_primary_lies_there(route: Cluster) -> None:
    primaries = await route.primaries(b"probe")
    assert len(primaries) == 3
    for primary, key in primaries:
        assert (await primary.send([(b"SET", key, b"", b"PX", b"1000")])).replies == [b"OK"]


# --- slots that move ------------------------------------------------------------------------------------------------


async def test_a_slot_that_has_moved_is_found(route: Cluster, redis_cluster: RedisCluster) -> None:
    await route.send([(b"SET", KEYS[0], b"before")])
    slot = slot_of((b"GET", KEYS[0]))
    owner = redis_cluster.owner(slot)
    redis_cluster.migrate(slot, redis_cluster.primaries[2]).end()
    assert (await route.send([(b"GET", KEYS[0]), (b"GET", KEYS[1])])).replies[0] == b"before"
    redis_cluster.migrate(slot, owner).end()
    assert (await route.send([(b"GET", KEYS[0])])).replies == [b"before"]


async def test_the_first_slot_of_a_new_node(route: Cluster, redis_cluster: RedisCluster) -> None:
    """No map has the node until the slot is its own; redis-py's client of the other stores finds it as well."""
    here, there = b"{%s}here" % KEYS[2], b"{%s}there" % KEYS[2]
    with closing(sync_client(redis_cluster.url)) as client:
        client.set(here, "a")
        slot = slot_of((b"GET", here))
        owner = redis_cluster.owner(slot)
        migration = redis_cluster.migrate(slot, redis_cluster.newcomer)
        (reply,) = (await route.send([(b"SET", there, b"b")])).replies
        assert reply == b"OK"
        assert client.get(there) == b"b"
        assert (await route.send([(b"GET", here), (b"GET", there)])).replies == [b"a", b"b"]
        migration.end()
        assert (await route.send([(b"GET", here), (b"GET", there)])).replies == [b"a", b"b"]
        assert [client.get(here), client.get(there)] == [b"a", b"b"]
        redis_cluster.migrate(slot, owner).end()


async def test_keys_on_both_ends_of_a_migration_are_found(route: Cluster, redis_cluster: RedisCluster) -> None:
    keys = [b"{%s}%d" % (KEYS[0], number) for number in range(10)]
    retrying_client = RetryingClient(route)
    await retrying_client.read([(b"SET", key, key) for key in keys])
    slot = slot_of((b"GET", keys[0]))
    owner = redis_cluster.owner(slot)
    migration = redis_cluster.migrate(slot, redis_cluster.primaries[1])
    migration.move(5)
    assert await retrying_client.read([(b"GET", key) for key in keys]) == keys
    with_both: Command = (b"EXISTS", *keys)  # on neither node are they all
    (told,) = (await route.send([with_both])).replies
    assert str(told).startswith("TRYAGAIN")
    patient = asyncio.create_task(retrying_client.read([with_both]))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(migration.end)
    assert await patient == [10]
    redis_cluster.migrate(slot, owner).end()


async def write(sessions: RedisSessions, record: SessionRecord, ends: asyncio.Event) -> list[Commit]:
    """Commit step after step until told to end, and return the commits that were acknowledged."""
    done: list[Commit] = []
    for number in count():
        if ends.is_set():
            break
        before = after(done[-1]) if done else record
        identity = Identity(key=f"k{number}" if number % 16 == 7 else None)
        commit = a_commit(before, number, identity=identity)
        (result,) = await commit_all(sessions, [commit])
        assert result == Applied()
        done.append(commit)
    return done


async def test_a_slot_that_moves_under_load_loses_and_repeats_nothing(
    redis_cluster: RedisCluster, open_sessions: OpenSessions
) -> None:
    sessions = open_sessions(redis_cluster.url, patience_s=60)
    slot = slot_of((b"GET", KEYS[0]))
    owner = redis_cluster.owner(slot)
    some = [record for record, _ in zip(sessions_in(sessions, slot), range(4), strict=False)]
    for record in some:
        assert await sessions.create(record) is None
    ends = asyncio.Event()
    writers = [asyncio.create_task(write(sessions, record, ends)) for record in some]
    for target in (redis_cluster.primaries[1], redis_cluster.primaries[2], owner):
        migration = await asyncio.to_thread(redis_cluster.migrate, slot, target)
        await asyncio.to_thread(migration.end)
    ends.set()
    for record, done in zip(some, await asyncio.gather(*writers), strict=True):
        assert len(done) > 10
        assert await sessions.load(record.key) == after(done[-1])


async def test_a_session_on_both_ends_of_a_migration_holds_up_no_other(
    redis_cluster: RedisCluster, open_sessions: OpenSessions
) -> None:
    sessions = open_sessions(redis_cluster.url, patience_s=60)
    slot = slot_of((b"GET", KEYS[0]))
    owner = redis_cluster.owner(slot)
    between = next(sessions_in(sessions, slot))
    others = [next(sessions_in(sessions, slot + n)) for n in (1, 2, 3)]
    assert redis_cluster.owner(slot + 3) is owner
    for record in (between, *others):
        await sessions.create(record)
    while keys := owner("CLUSTER", "GETKEYSINSLOT", slot, 100):  # of other tests there may be hundreds
        owner("DEL", *keys)
    await sessions.create(between)
    assert owner("CLUSTER", "COUNTKEYSINSLOT", slot) == 2
    migration = redis_cluster.migrate(slot, redis_cluster.primaries[1])
    migration.move(1)  # of the record and its tombstone one
    came: dict[int, CommitResult] = {}
    some, all_ = asyncio.Event(), asyncio.Event()

    def done(part: Sequence[int], results: Sequence[CommitResult]) -> None:
        came.update(zip(part, results, strict=True))
        some.set()
        if len(came) == 4:
            all_.set()

    sessions.post([a_commit(record, 1.0) for record in (between, *others)], done)
    await some.wait()
    assert came == {1: Applied(), 2: Applied(), 3: Applied()}
    await asyncio.to_thread(migration.end)
    await all_.wait()
    assert came[0] == Applied()
    redis_cluster.migrate(slot, owner).end()


def survives(client: redis.Redis, key: bytes) -> object:
    """Return what the key holds, None while its primary is away."""
    with suppress(StoreUnavailable), redis_errors():
        return client.get(key)
    return None


# --- a primary that dies --------------------------------------------------------------------------------------------


async def test_a_replica_takes_over_under_load(redis_cluster: RedisCluster, open_sessions: OpenSessions) -> None:
    """What the replica had (WAIT) is there; of what it had not, the session may stand before it, and says so."""
    sessions = open_sessions(redis_cluster.url, patience_s=60)
    slot = slot_of((b"GET", KEYS[0]))
    old = redis_cluster.owner(slot)
    histories = [History(record) for record, _ in zip(sessions_in(sessions, slot), range(4), strict=False)]
    for history in histories:
        await sessions.create(history.record)
    route, ends = open_router(redis_cluster.url), asyncio.Event()
    retrying_client = RetryingClient(route, patience_s=60)
    writers = [asyncio.create_task(history.write(sessions, retrying_client, ends)) for history in histories]
    with closing(sync_client(redis_cluster.url)) as client:
        client.set(b"{%s}other" % KEYS[0], "kept")
        assert client.wait(1, 1000)
        await asyncio.to_thread(redis_cluster.fail_over)
        found = await asyncio.to_thread(wait_until, lambda: survives(client, b"{%s}other" % KEYS[0]))
        assert found == b"kept", "redis-py finds the new primary as well"
    assert redis_cluster.owner(slot) is not old
    for history in histories:
        await history.acknowledges(history.acknowledged + 5)  # they go on by themselves
    ends.set()
    await asyncio.gather(*writers)
    for history in histories:
        assert await sessions.load(history.record.key) == history.last
    await route.aclose()
