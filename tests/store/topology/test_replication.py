"""Strict durability, on a real primary with a real replica that hangs and comes back."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellar.errors import StoreUnavailable
from cellar.ports import Applied, CommitResult, Identity
from cellar.store.connection.router import Wait
from cellar.store.sessions.store import RedisSessions
from tests.redis_node import RedisNode
from tests.store.committing import commit_all
from tests.store.conftest import OpenSessions
from tests.store.session_values import a_commit, a_record, after, answered, at, only
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


class Pair:
    """A primary and its replica."""

    def __init__(self, binary: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cellar-test-", dir="/tmp"))
        options = ("--save", "", "--repl-diskless-sync-delay", "0")
        self.primary = RedisNode(binary, self.directory / "a", *options)
        self.replica = RedisNode(binary, self.directory / "b", *options)

    def start(self) -> None:
        """Start both, and wait until the replica follows."""
        self.primary.start()
        self.replica.start("--replicaof", "127.0.0.1", str(self.primary.port))
        wait_until(lambda: self.replica.info("master_link_status") == "up", 20, "the replica follows")

    def close(self) -> None:
        """End both and forget the data."""
        for node in (self.primary, self.replica):
            if node.alive:
                node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def pair(redis_server_binary: Path) -> Iterator[Pair]:
    """Yield a primary and a replica that the tests of this file share."""
    pair = Pair(redis_server_binary)
    try:
        pair.start()
        yield pair
    finally:
        pair.close()


@pytest.fixture
def strict(pair: Pair, open_sessions: OpenSessions) -> RedisSessions:
    """Return a store that waits for the replica."""
    return open_sessions(f"redis://127.0.0.1:{pair.primary.port}", wait=Wait(1, 300))


def not_durable(result: CommitResult) -> bool:
    return isinstance(result, StoreUnavailable) and result.outcome == "applied_not_durable"


async def test_a_step_that_the_replica_has_is_acknowledged(strict: RedisSessions) -> None:
    records = [a_record() for _ in range(3)]
    for record in records:
        await strict.create(record)
    assert await commit_all(strict, [a_commit(record, 1.0) for record in records]) == [Applied()] * 3


async def test_a_step_that_it_lacks_is_applied_and_not_acknowledged(strict: RedisSessions, pair: Pair) -> None:
    record = a_record()
    await strict.create(record)
    commit = a_commit(record, 1.0, identity=at(record.position))
    with pair.replica.hangs():
        [result] = await commit_all(strict, [commit])
        assert not_durable(result)
        assert await strict.load(record.key) == after(commit)
        [result] = await commit_all(strict, [commit])
        assert not_durable(result), "a repetition waits as well"
        with pytest.raises(StoreUnavailable) as caught:
            await strict.find(record.key, only(commit).identity, only(commit).fingerprint)
        assert caught.value.outcome == "applied_not_durable"
    assert await strict.find(record.key, only(commit).identity, only(commit).fingerprint) == answered(commit)
    assert await commit_all(strict, [commit]) == [answered(commit)]


async def test_what_another_process_wrote_is_confirmed_too(
    strict: RedisSessions, pair: Pair, open_sessions: OpenSessions
) -> None:
    """WAIT speaks of the writes of its own connection alone, so an answer from the record needs a write of its own."""
    other = open_sessions(f"redis://127.0.0.1:{pair.primary.port}")
    record = a_record()
    await other.create(record)
    commit = a_commit(record, 1.0, identity=Identity(writer="pump", seq=1))
    with pair.replica.hangs():
        assert await commit_all(other, [commit]) == [Applied()]
        with pytest.raises(StoreUnavailable):
            await strict.find(record.key, only(commit).identity, only(commit).fingerprint)
    assert await strict.find(record.key, only(commit).identity, only(commit).fingerprint) == answered(commit)


async def test_too_few_replicas_are_not_ready(strict: RedisSessions, pair: Pair, open_sessions: OpenSessions) -> None:
    assert (await strict.ping())["replicas"] == 1
    asking = open_sessions(f"redis://127.0.0.1:{pair.primary.port}", wait=Wait(2, 300))
    with pytest.raises(StoreUnavailable, match="strict durability asks for 2 replicas"):
        await asking.ping()
