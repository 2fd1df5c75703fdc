"""Commits on their way: few at a time, and none that is late holds up the others."""

import asyncio
import signal
from collections.abc import Sequence
from functools import partial

import pytest
from redis.crc import key_slot

from cellar.errors import StoreUnavailable
from cellar.ports import APPEND, Commit, CommitCallback
from cellar.sessions.requests.group_commit import FEW, MOST, UNDIVIDED, GroupCommit
from tests.redis_cluster import RedisCluster
from tests.redis_process import RedisProcess
from tests.sessions.conftest import Service, StartService
from tests.sessions.session_calls import a_sequence, begin, step, until

pytestmark = pytest.mark.anyio


class Queue:
    """Works that wait for a tick, and the sizes of those that have gone."""

    def __init__(self, group_commit: GroupCommit) -> None:
        self.group_commit = group_commit
        self.waiting = 0
        self.gone: list[int] = []
        self.went = asyncio.Event()

    def ask(self, works: int, again: int | None = None) -> None:
        """Ask for these works, all of which have come again unless it is said how many."""
        self.waiting = works
        most = self.group_commit.ask(works, works if again is None else again, self.go)
        if most:
            self.group_commit.took(self.go(most))

    def more(self, works: int, *, again: bool = True) -> None:
        for _ in range(works):
            self.waiting += 1
            self.group_commit.more(again=again)

    def go(self, most: int) -> int:
        works = min(most, self.waiting)
        self.waiting -= works
        self.gone.append(works)
        self.went.set()
        return works


async def test_who_waits_goes_on_when_a_flight_ends_once() -> None:
    group_commit = GroupCommit()
    first, second = Queue(group_commit), Queue(group_commit)
    flying = [group_commit.begin(1) for _ in range(MOST)]
    first.ask(1)
    second.ask(2)
    assert not first.gone
    group_commit.end(flying[0])
    assert (first.gone, second.gone) == ([1], [2])
    group_commit.begin(1)
    group_commit.end(flying[0])
    assert group_commit.full, "it had ended before"


async def test_flights_that_are_late_delay_no_other() -> None:
    group_commit = GroupCommit()
    queue = Queue(group_commit)
    flying = [group_commit.begin(1) for _ in range(MOST)]
    queue.ask(1)
    await queue.went.wait()
    assert not group_commit.full
    for sent_commit in flying:
        group_commit.end(sent_commit)
    assert not group_commit.full


async def test_few_go_at_once_and_so_do_those_behind_them() -> None:
    queue = Queue(GroupCommit(spacing_s=3600))
    for _ in range(3):
        queue.ask(FEW - 1)
        queue.ask(1)
    assert queue.gone == 3 * [FEW - 1, 1]


async def test_behind_many_fewer_wait_until_as_many_have_come() -> None:
    queue = Queue(GroupCommit(spacing_s=3600))
    queue.ask(FEW)
    queue.ask(1)
    queue.more(FEW - 2)
    await asyncio.sleep(0.01)
    assert queue.gone == [FEW]
    queue.more(1)
    assert queue.gone == [FEW], "what else comes to this turn of the loop goes along"
    queue.more(2)
    await queue.went.wait()
    await asyncio.sleep(0)
    assert queue.gone == [FEW, FEW + 2]


async def test_behind_many_others_wait_for_the_spacing_however_many_they_are() -> None:
    queue = Queue(GroupCommit(spacing_s=3600))
    queue.ask(FEW)
    queue.ask(2, again=0)
    queue.more(3 * FEW, again=False)
    await asyncio.sleep(0.01)
    assert queue.gone == [FEW]


async def test_where_nearly_all_have_come_again_no_request_waits_for_the_others() -> None:
    queue = Queue(GroupCommit(spacing_s=3600))
    queue.ask(FEW)
    queue.ask(1, again=0)
    queue.more(FEW)
    await queue.went.wait()
    await asyncio.sleep(0)
    assert queue.gone == [FEW, FEW + 1]


async def test_the_last_ticks_are_known_by_their_numbers() -> None:
    group_commit = GroupCommit()
    assert not group_commit.is_recent(-1)
    queue = Queue(group_commit)
    queue.ask(1)
    number = group_commit.number
    for _ in range(MOST - 1):
        assert group_commit.is_recent(number)
        queue.ask(1)
    assert group_commit.is_recent(number)
    queue.ask(1)
    assert not group_commit.is_recent(number)


async def test_a_tick_that_cannot_begin_holds_up_no_other() -> None:
    group_commit = GroupCommit()
    second = Queue(group_commit)

    def fail(_most: int) -> int:
        raise RuntimeError("no threads any more")

    flying = [group_commit.begin(1) for _ in range(MOST)]
    group_commit.ask(1, 0, fail)
    second.ask(2)
    group_commit.end(flying[0])
    assert second.gone == [2]


async def test_behind_many_fewer_wait_no_longer_than_the_spacing() -> None:
    queue = Queue(GroupCommit(spacing_s=0.02))
    queue.ask(FEW)
    queue.went.clear()
    queue.ask(1)
    assert queue.gone == [FEW]
    await queue.went.wait()
    assert queue.gone == [FEW, 1]


async def test_those_who_wait_for_the_spacing_go_together() -> None:
    group_commit = GroupCommit(spacing_s=0.02)
    first, second = Queue(group_commit), Queue(group_commit)
    first.ask(2 * FEW)
    first.went.clear()
    first.ask(FEW)
    second.ask(1)
    assert (first.gone, second.gone) == ([2 * FEW], [])
    await first.went.wait()
    assert (first.gone, second.gone) == ([2 * FEW, FEW], [1])


async def test_of_many_half_go_and_the_others_behind_them() -> None:
    group_commit = GroupCommit(spacing_s=3600)
    queue = Queue(group_commit)
    queue.ask(2 * UNDIVIDED + 1)
    group_commit.begin(queue.gone[0])
    queue.ask(queue.waiting)
    assert queue.gone == [UNDIVIDED + 1, UNDIVIDED]


async def test_half_is_that_of_those_who_fly_as_well() -> None:
    group_commit = GroupCommit(spacing_s=0)
    queue = Queue(group_commit)
    group_commit.begin(100)
    queue.ask(60)
    assert queue.gone == [60]
    group_commit.end(group_commit.begin(1))


async def test_half_go_when_the_store_is_idle_for_as_long_as_it_took() -> None:
    group_commit = GroupCommit(spacing_s=0, division_s=3600)
    queue = Queue(group_commit)
    works = 4 * UNDIVIDED
    for size, later_s in ((works // 2, -3600), (works, 3600), (works // 2, 0)):  # the first division is not too early
        queue.ask(works)
        assert queue.gone[-1] == size
        group = group_commit.begin(size)
        group.began_s += later_s  # as if the group had taken an hour, or no time
        group_commit.end(group)


async def test_a_primary_that_hangs_holds_up_only_its_own_sessions(
    redis_cluster: RedisCluster, start_service: StartService
) -> None:
    service = start_service(redis_cluster.url, patience_s=60)
    service.models.network.flops = 1  # run in the loop: every tick is committed by itself
    keys = [await begin(service) for _ in range(60)]  # so that each primary has more than may fly
    owners = [redis_cluster.owner(key_slot(service.store.keys.record(key))) for key in keys]
    hanging = redis_cluster.primaries[1]
    theirs = [key for key, owner in zip(keys, owners, strict=True) if owner is hanging]
    others = [key for key, owner in zip(keys, owners, strict=True) if owner is not hanging]
    assert len(theirs) > MOST
    waiting = []
    with hanging.hangs():
        for key in theirs:
            waiting.append(asyncio.create_task(step(service, key, 1)))
            await asyncio.sleep(0.01)  # a tick for each, as far as ticks may fly
        for _ in range(3):
            await asyncio.gather(*[step(service, key, 1) for key in others])
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)


class Counted:
    """How many ticks a service has posted."""

    def __init__(self, service: Service) -> None:
        self.posted = 0
        self._post = service.store.post
        service.store.post = self.post  # seen on its way to the real one

    def post(self, commits: Sequence[Commit], done: CommitCallback) -> None:
        self.posted += 1
        self._post(commits, done)

    def are(self, count: int) -> bool:
        return self.posted == count


async def test_a_tick_that_cannot_begin_takes_no_answer_from_those_before_it(
    redis_process: RedisProcess, start_service: StartService
) -> None:
    """A service that is closed has no threads to run the next tick on."""
    service = start_service(redis_process.url, patience_s=60)
    keys = [await begin(service) for _ in range(MOST + 1)]
    for key in keys:
        await step(service, key, 1)
    ticks = Counted(service)
    redis_process.signal(signal.SIGSTOP)
    waiting = []
    for count, key in enumerate(keys, 1):
        waiting.append(service.sessions.ask(key, "step", a_sequence(1), APPEND))
        await until(partial(ticks.are, min(MOST, count)))
    await service.sessions.aclose(0.01)
    await service.store.aclose()
    for pending in waiting[:MOST]:
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(pending, 10)
    redis_process.signal(signal.SIGCONT)
