"""The cache of sessions: bounded in bytes, cheap for the garbage collector, and one read for all that are missing."""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from cellar.ports import SessionKey
from cellar.sessions.scheduling.session_queues import MOST_QUEUES, SessionCache
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import open_router
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import history
from tests.sessions.session_calls import begin, state, step
from tests.store.session_values import a_record

pytestmark = pytest.mark.anyio

STATE_BYTES = 512


class NoModels:
    """Has no model loaded."""

    def cached(self, *_: object) -> None:
        """Return None."""


class CacheOfMany(SessionCache):
    """A cache that is filled with sessions that a store would have read."""

    def __init__(self, max_bytes: int, most_queues: int = MOST_QUEUES) -> None:
        store = RedisSessions(open_router("redis://127.0.0.1:1"), prefix="test")  # it is never connected
        super().__init__(max_bytes, store, NoModels(), most_queues)  # type: ignore[arg-type]

    def fill(self, count: int) -> None:
        """Add sessions, each with a state of its own."""
        for number in range(count):
            queue = self.queue(SessionKey("default", f"session-{number:06d}"))
            record = a_record(f"session-{number:06d}")
            record.state = number.to_bytes(4, "little") * (STATE_BYTES // 4)
            self.set_record(queue, record)
            self.evict()

    def has(self, number: int) -> bool:
        """Return whether a session is known, and right."""
        queue = self.known(SessionKey("default", f"session-{number:06d}"))
        if queue is None:
            return False
        assert queue.record is not None
        assert queue.record.state == number.to_bytes(4, "little") * (STATE_BYTES // 4)
        return True

    @property
    def count(self) -> int:
        """The number of sessions that are known."""
        return len(self._queues) + sum(len(table) for table in self._tables)


@pytest.fixture
def tracked() -> Iterator[None]:
    """Collect garbage before, so that what is tracked afterwards is new."""
    gc.collect()
    yield
    gc.collect()


@pytest.mark.usefixtures("tracked")
def test_the_collector_visits_no_more_objects_with_more_sessions() -> None:
    cache = CacheOfMany(1 << 30, most_queues=100)
    cache.fill(1_000)
    gc.collect()
    few = len(gc.get_objects())
    cache.fill(20_000)
    gc.collect()
    assert cache.count == 20_000
    assert len(gc.get_objects()) < few + 1_000


def test_the_memory_that_is_counted_is_the_memory_that_is_taken() -> None:
    tracemalloc.start()
    try:
        cache = CacheOfMany(1 << 30, most_queues=500)
        cache.fill(100)  # caches of the store are filled
        before, counted = tracemalloc.get_traced_memory()[0], cache.bytes
        cache.fill(20_000)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 < taken / (cache.bytes - counted) < 1.05


def test_the_sessions_used_last_stay_within_the_memory() -> None:
    one = CacheOfMany(1 << 30, most_queues=10)
    one.fill(5_010)
    cache = CacheOfMany(one.bytes, most_queues=10)
    for _ in range(3):
        cache.fill(15_000)
        assert cache.bytes <= one.bytes
        assert 4_900 < cache.count <= 5_010
        kept = [number for number in range(15_000) if cache.has(number)]
        assert sum(number >= 9_500 for number in kept) > 0.8 * len(kept)  # each table has an order of its own
    while cache.count:
        cache._max_bytes = cache.bytes - 1
        cache.evict()
    assert cache.bytes == 0


def test_a_session_that_is_used_again_stays() -> None:
    cache = CacheOfMany(1_000_000, most_queues=10)
    cache.fill(100)
    for first in range(10):
        assert all(cache.has(number) for number in range(50))
        for number in range(1_000 * first, 1_000 * first + 300):
            cache.set_record(cache.queue(SessionKey("default", f"other-{number}")), a_record(f"other-{number}"))
            cache.evict()


async def test_sessions_are_stepped_from_their_compact_form(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url)
    service.sessions._scheduler._cache._most_queues = 5
    keys = [await begin(service) for _ in range(40)]
    for value in (1, 2, 3):
        await asyncio.gather(*[step(service, key, value) for key in keys])
    assert len(service.sessions._scheduler._cache._queues) <= 5
    assert [await state(service, key) for key in keys] == [history([1, 2, 3])] * 40


async def test_missing_sessions_are_read_in_one_round_trip(service: Service) -> None:
    keys = [await begin(service) for _ in range(40)]
    await step(service, keys[0], 1)
    for key in keys:
        service.sessions._scheduler.forget(key)
    reads: list[int] = []
    read = service.store._client.read

    async def counted(commands: list[tuple[bytes, ...]]) -> object:
        reads.append(len(commands))
        return await read(commands)

    service.store._client.read = counted  # type: ignore[method-assign, assignment]
    await asyncio.gather(*[step(service, key, 1) for key in keys])
    assert reads == [40]


async def test_one_session_that_is_missing_from_the_store_harms_no_other(service: Service) -> None:
    keys = [await begin(service) for _ in range(3)]
    for key in keys:
        service.sessions._scheduler.forget(key)
    unknown = SessionKey("default", "unknown")
    found = await asyncio.gather(*[step(service, key, 1) for key in (*keys, unknown)], return_exceptions=True)
    assert [type(each).__name__ for each in found] == 3 * ["StepResult"] + ["SessionUnknown"]
