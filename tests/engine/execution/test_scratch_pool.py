"""Scratch memory that waits for the next call."""

import gc
import threading

import numpy as np

from cellar.engine.execution.scratch_pool import ScratchPool


def test_memory_is_used_again() -> None:
    pool = ScratchPool(1 << 20)
    first = pool.take(5000, clear=False)
    place = first.address
    first.memory[:] = 7
    other = pool.take(5000, clear=False)
    assert other.address != place
    assert place % 64 == 0
    del first
    gc.collect()
    again = pool.take(8000, clear=True)
    assert again.address == place
    assert not again.memory[:8000].any()


def test_no_more_is_kept_than_allowed() -> None:
    pool = ScratchPool(10_000)
    arenas = [pool.take(4096, clear=False) for _ in range(5)]
    places = {arena.address for arena in arenas}
    arenas.clear()
    gc.collect()
    taken = [pool.take(4096, clear=False) for _ in range(2)]
    assert {arena.address for arena in taken} <= places
    assert pool.idle_bytes == 0
    assert np.count_nonzero(pool.take(100, clear=True).memory[:100]) == 0


def test_an_arena_may_end_while_its_thread_is_inside_the_pool() -> None:
    """Garbage is collected wherever something is allocated, also under the pool's lock."""
    pool = ScratchPool(1 << 20)

    def end() -> None:
        with pool._lock:
            pool.take(4096, clear=False)

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert pool.idle_bytes == 4096
