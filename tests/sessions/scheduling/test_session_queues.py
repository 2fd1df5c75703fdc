"""The cache of sessions: bounded in bytes, cheap for the garbage collector, and one read for all that are missing."""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from cellar.errors import SessionUnknown, ShapeMismatch
from cellar.ports import APPEND, SessionKey
from cellar.sessions.scheduling.session_queues import MOST_QUEUES, SessionCache
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import open_router
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import history
from tests.sessions.session_calls import a_sequence, begin, state, step
from tests.store.session_values import a_record

pytestmark = pytest.mark.anyio

STATE_BYTES = 512


class NoModels:
    """Has no model loaded."""

    def cached(self, *_: object) -> None:
        """Return None."""


def cache_of(max_bytes: int, most_queues: int = MOST_QUEUES) -> SessionCache:
    """Return a cache that `fill` fills with sessions that a store would have read."""
    store = RedisSessions(open_router("redis://127.0.0.1:1"), prefix="test")  # it is never connected
    # the test's stand-in or text for it
    return SessionCache(max_bytes, store, NoModels(), most_queues)  # type: ignore[arg-type]


def fill(cache: SessionCache, count: int) -> None:
    """Add sessions, each with a state of its own."""
    for number in range(count):
        queue = cache.queue(SessionKey("default", f"session-{number:06d}"))
        record = a_record(f"session-{number:06d}")
        record.state = number.to_bytes(4, "little") * (STATE_BYTES // 4)
        cache.set_record(queue, record)
        cache.evict()


def has(cache: SessionCache, number: int) -> bool:
    """Return whether a session is known, and right."""
    queue = cache.known(SessionKey("default", f"session-{number:06d}"))
    if queue is None:
        return False
    assert queue.record is not None
    assert queue.record.state == number.to_bytes(4, "little") * (STATE_BYTES // 4)
    return True


def count_of(cache: SessionCache) -> int:
    """Return the number of sessions that are known."""
    return len(cache._queues) + sum(len(table) for table in cache._tables)


@pytest.fixture
def tracked() -> Iterator[None]:
    """Collect garbage before, so that what is tracked afterwards is new."""
    gc.collect()
    yield
    gc.collect()


@pytest.mark.usefixtures("tracked")
def test_the_collector_visits_no_more_objects_with_more_sessions() -> None:
    cache = cache_of(1 << 30, most_queues=100)
    fill(cache, 1_000)
    gc.collect()
    few = len(gc.get_objects())
    fill(cache, 20_000)
    gc.collect()
    assert count_of(cache) == 20_000
    assert len(gc.get_objects()) < few + 1_000


def test_the_memory_that_is_counted_is_the_memory_that_is_taken() -> None:
    tracemalloc.start()
    try:
        cache = cache_of(1 << 30, most_queues=500)
        fill(cache, 100)  # caches of the store are filled
        before, counted = tracemalloc.get_traced_memory()[0], cache.bytes
        fill(cache, 20_000)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 < taken / (cache.bytes - counted) < 1.05


def test_the_sessions_used_last_stay_within_the_memory() -> None:
    one = cache_of(1 << 30, most_queues=10)
    fill(one, 5_010)
    cache = cache_of(one.bytes, most_queues=10)
    for _ in range(3):
        fill(cache, 15_000)
        assert cache.bytes <= one.bytes
        assert 4_900 < count_of(cache) <= 5_010
        kept = [number for number in range(15_000) if has(cache, number)]
        assert sum(number >= 9_500 for number in kept) > 0.8 * len(kept)  # each table has an order of its own
    while count_of(cache):
        cache._max_bytes = cache.bytes - 1
        cache.evict()
    assert cache.bytes == 0


def test_a_session_that_is_used_again_stays() -> None:
    cache = cache_of(1_000_000, most_queues=10)
    fill(cache, 100)
    for first in range(10):
        assert all(has(cache, number) for number in range(50))
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


@pytest.mark.pure
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

    service.store._client.read = counted  # type: ignore[method-assign, assignment]  # replaced for this test
    await asyncio.gather(*[step(service, key, 1) for key in keys])
    assert reads == [40]


async def test_one_session_that_is_missing_from_the_store_harms_no_other(service: Service) -> None:
    keys = [await begin(service) for _ in range(3)]
    for key in keys:
        service.sessions._scheduler.forget(key)
    unknown = SessionKey("default", "unknown")
    found = await asyncio.gather(*[step(service, key, 1) for key in (*keys, unknown)], return_exceptions=True)
    assert [type(each).__name__ for each in found] == 3 * ["StepResult"] + ["SessionUnknown"]


async def test_cancelled_and_refused_steps_leave_nothing_behind(service: Service) -> None:
    key, unknown = await begin(service), SessionKey("default", "unknown")

    async def steps_of_all_fates() -> None:
        service.sessions.ask(key, "step", a_sequence(1), APPEND).cancel()
        with pytest.raises(ShapeMismatch):
            await service.sessions.step(key, np.ones((2, 1), np.float32), APPEND)
        with pytest.raises(SessionUnknown):
            await step(service, unknown, 1)
        await step(service, key, 1)

    for _ in range(20):
        await steps_of_all_fates()
    gc.collect()
    few = len(gc.get_objects())
    for _ in range(300):
        await steps_of_all_fates()
    gc.collect()
    assert len(gc.get_objects()) < few + 300
    assert len(service.sessions._scheduler._cache._queues) <= 2
