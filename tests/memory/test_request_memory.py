"""The memory of requests is reserved, refused, waited for and freed."""

import asyncio
import gc

import pytest

from cellar.errors import BodyTooLarge, Overloaded
from cellar.memory import request_memory
from cellar.memory.request_memory import SMALL_BYTES, RequestMemory

pytestmark = pytest.mark.anyio


def test_a_quarter_is_for_small_bodies() -> None:
    memory = RequestMemory(8 * SMALL_BYTES)
    large, small = memory.reservation(), memory.reservation()
    large.resize(6 * SMALL_BYTES)
    with pytest.raises(Overloaded):
        large.resize(6 * SMALL_BYTES + 1)
    small.resize(SMALL_BYTES)
    assert memory.held_bytes == 7 * SMALL_BYTES
    large.release()
    small.release()
    assert memory.held_bytes == 0


def test_what_is_decoded_may_take_more_than_what_arrives() -> None:
    memory = RequestMemory(8 * SMALL_BYTES)
    body = memory.reservation()
    body.resize(6 * SMALL_BYTES)
    body.extend(7 * SMALL_BYTES)
    with pytest.raises(BodyTooLarge, match="CELLAR_MAX_UNFINISHED_BYTES"):
        body.extend(7 * SMALL_BYTES + 1)
    with pytest.raises(Overloaded, match="CELLAR_MAX_UNFINISHED_BYTES"):
        memory.reservation().extend(SMALL_BYTES + 1)
    assert memory.held_bytes == body.size == 7 * SMALL_BYTES


def test_a_reservation_ends_with_its_object() -> None:
    memory = RequestMemory(8 * SMALL_BYTES)
    body = memory.reservation()
    body.resize(SMALL_BYTES)
    del body
    gc.collect()
    assert memory.held_bytes == 0


async def test_bodies_wait_in_their_order() -> None:
    memory = RequestMemory(8 * SMALL_BYTES)
    first, second, third = (memory.reservation() for _ in range(3))
    await first.grow(6 * SMALL_BYTES)
    waiting = [asyncio.create_task(second.grow(4 * SMALL_BYTES)), asyncio.create_task(third.grow(SMALL_BYTES))]
    await asyncio.sleep(0)
    assert (second.size, third.size) == (0, 0), "the third would fit, and does not overtake"
    first.release()
    await asyncio.gather(*waiting)
    assert memory.held_bytes == 5 * SMALL_BYTES


async def test_one_that_is_dropped_elsewhere_makes_room() -> None:
    memory = RequestMemory(8 * SMALL_BYTES)
    held, wanted = [memory.reservation()], memory.reservation()
    await held[0].grow(6 * SMALL_BYTES)
    waiting = asyncio.create_task(wanted.grow(6 * SMALL_BYTES))
    await asyncio.sleep(0)
    await asyncio.to_thread(held.clear)
    await asyncio.wait_for(waiting, 10)
    assert memory.held_bytes == 6 * SMALL_BYTES


async def test_one_that_waits_too_long_is_refused_and_the_next_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_memory, "WAIT_S", 0.01)
    memory = RequestMemory(8 * SMALL_BYTES)
    first, second, third = (memory.reservation() for _ in range(3))
    await first.grow(6 * SMALL_BYTES)
    late = asyncio.create_task(second.grow(4 * SMALL_BYTES))
    await asyncio.sleep(0)
    cancelled = asyncio.create_task(third.grow(4 * SMALL_BYTES))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(Overloaded, match="CELLAR_MAX_UNFINISHED_BYTES"):
        await late
    await asyncio.wait([cancelled])
    await third.grow(SMALL_BYTES)
    assert memory.held_bytes == 7 * SMALL_BYTES


async def test_one_that_never_fits_is_too_large() -> None:
    memory = RequestMemory(8 * SMALL_BYTES)
    with pytest.raises(BodyTooLarge, match="CELLAR_MAX_UNFINISHED_BYTES"):
        async with memory.room_for(2 * SMALL_BYTES):
            pass
    assert memory.held_bytes == 0
    async with memory.room_for(SMALL_BYTES):
        assert memory.held_bytes == 0, "small ones are not counted"
