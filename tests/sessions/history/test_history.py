"""The way back: to states that are kept, and to steps that logged inputs lead to; once, and to nowhere else."""

import asyncio
from typing import Any

import numpy as np
import pytest
import redis

from cellar.errors import EpochChanged, FingerprintMismatch, InvalidInput, NotKept, OutOfReach
from cellar.ports import APPEND, Identity, LogEntry, Position, RowChoice, SessionKey
from cellar.sessions.history.history import RewindTarget
from cellar.sessions.values.position import start_of
from tests.proxy import LossyProxy, first
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import after, history
from tests.sessions.session_calls import a_sequence, a_step, at, begin, position, state, step

pytestmark = pytest.mark.anyio


async def stepped(service: Service, *values: float, **options: int) -> tuple[SessionKey, list[Position]]:
    """Return a session that has made these steps one by one, and where it stood before and after each."""
    key = await begin(service, **options)
    places = [await position(service, key)]
    return key, places + [(await step(service, key, value)).position for value in values]


async def test_the_last_states_are_gone_back_to_exactly(service: Service) -> None:
    key, places = await stepped(service, 1, 2, 3, 4, history=3)
    found = await service.histories.history(key)
    assert [kept.position for kept in found.states] == places[1:4]
    assert found.reachable == [(1, 4)]
    answer = await service.histories.rewind(key, RewindTarget(steps=2), APPEND)
    assert (answer.position.step, answer.replayed) == (0, False)
    assert await state(service, key) == history([1, 2])
    await step(service, key, 9)
    assert await state(service, key) == history([1, 2, 9])


@pytest.mark.parametrize("back", [RewindTarget(step=2), RewindTarget(steps=2), "to"])
async def test_each_way_to_say_it_leads_to_the_same_place(service: Service, back: Any) -> None:
    key, places = await stepped(service, 1, 2, 3, 4, history=9)
    await service.histories.rewind(key, RewindTarget(to=places[2]) if back == "to" else back, APPEND)
    assert await state(service, key) == history([1, 2])


async def test_a_rewind_can_be_undone(service: Service) -> None:
    key, places = await stepped(service, 1, 2, 3, history=4)
    await service.histories.rewind(key, RewindTarget(step=1), APPEND)
    await service.histories.rewind(key, RewindTarget(to=places[3]), APPEND)
    assert await state(service, key) == history([1, 2, 3])


async def test_a_reset_can_be_undone(service: Service) -> None:
    key, places = await stepped(service, 1, 2, history=1)
    await service.sessions.reset(key, APPEND)
    with pytest.raises(OutOfReach) as caught:
        await service.histories.rewind(key, RewindTarget(steps=1), APPEND)
    assert caught.value.reachable == [(0, 0)]
    await service.histories.rewind(key, RewindTarget(to=places[2]), APPEND)
    assert await state(service, key) == history([1, 2])


async def test_steps_inside_a_sequence_are_reached_through_the_log(service: Service) -> None:
    key = await begin(service, history=1, log=10)
    await service.sessions.sequence(key, a_sequence(1, 2, 3), APPEND)
    await service.sessions.sequence(key, a_sequence(4, 5, 6), APPEND)
    assert (await service.histories.history(key)).reachable == [(0, 6)]
    await service.histories.rewind(key, RewindTarget(step=5), APPEND)
    assert await state(service, key) == history([1, 2, 3, 4, 5])


async def test_without_a_log_a_step_inside_a_sequence_is_out_of_reach(service: Service) -> None:
    key = await begin(service, history=2)
    await service.sessions.sequence(key, a_sequence(1, 2, 3), APPEND)
    await service.sessions.sequence(key, a_sequence(4, 5, 6), APPEND)
    before = await position(service, key)
    assert (await service.histories.history(key)).reachable == [(0, 0), (3, 3), (6, 6)]
    with pytest.raises(OutOfReach) as caught:
        await service.histories.rewind(key, RewindTarget(step=4), APPEND)
    assert caught.value.reachable == [(0, 0), (3, 3), (6, 6)]
    assert await position(service, key) == before


async def test_a_log_alone_leads_to_every_step_of_every_epoch(service: Service) -> None:
    key, places = await stepped(service, *range(10), log=100)
    await service.sessions.reset(key, APPEND)
    await service.sessions.sequence(key, a_sequence(7, 8), APPEND)
    await service.histories.rewind(key, RewindTarget(step=1), APPEND)
    assert await state(service, key) == history([7])
    await service.histories.rewind(key, RewindTarget(to=places[6]), APPEND)
    assert await state(service, key) == history([0, 1, 2, 3, 4, 5])
    with pytest.raises(OutOfReach):
        await service.histories.rewind(key, RewindTarget(to=start_of(b"\0" * 8)), APPEND)


async def test_rows_that_began_anew_do_so_again(service: Service) -> None:
    key = await begin(service, batch_size=2, log=100)
    await service.sessions.step(key, a_step(1, 2), APPEND)
    await service.sessions.sequence(
        key, np.array([[[3], [4]], [[5], [6]]], dtype=np.float32), APPEND, reset=[True, False]
    )
    await service.sessions.step(key, a_step(7, 8), APPEND)
    await service.histories.rewind(key, RewindTarget(step=2), APPEND)
    parts = (await service.states.read(key)).parts
    found = np.concatenate([part.values for part in parts], axis=1).tolist()
    assert found == [history([3]), history([2, 4])]


async def test_states_that_were_written_are_a_beginning(service: Service) -> None:
    key, _ = await stepped(service, 1, 2, log=100)
    values = {place: np.full((1, 1), 5, np.float32) for place in ((0, "h"), (1, "h"), (1, "c"))}
    await service.states.write(key, values, APPEND)
    await step(service, key, 3)
    await service.histories.rewind(key, RewindTarget(step=0), APPEND)
    assert await state(service, key) == [5, 5, 5]


async def test_a_log_that_was_trimmed_reaches_as_far_as_it_says(service: Service, redis_client: Any) -> None:
    key, _ = await stepped(service, *range(6), log=100, history=1)
    redis_client.xtrim(service.store.keys.log(key), maxlen=3, approximate=False)
    assert (await service.histories.history(key)).reachable == [(5, 6)]
    with pytest.raises(OutOfReach) as caught:
        await service.histories.rewind(key, RewindTarget(step=3), APPEND)
    assert caught.value.reachable == [(5, 6)]
    await service.histories.rewind(key, RewindTarget(step=5), APPEND)
    assert await state(service, key) == history(range(5))


@pytest.mark.parametrize("identity", ["position", "key"])
async def test_a_rewind_happens_once(service: Service, identity: str) -> None:
    key, places = await stepped(service, 1, 2, 3, history=1)
    who = at(places[3]) if identity == "position" else Identity(key="k")
    one = await service.histories.rewind(key, RewindTarget(steps=1), who)
    await step(service, key, 5)
    other = await service.histories.rewind(key, RewindTarget(steps=1), who)  # which is out of reach by now
    assert (one.position, one.replayed, other.replayed) == (other.position, False, True)
    assert await state(service, key) == history([1, 2, 5])
    with pytest.raises((EpochChanged, FingerprintMismatch)):
        await service.histories.rewind(key, RewindTarget(steps=2), who)


async def test_a_rewind_whose_reply_is_lost_happens_once(redis_url: str, start_service: StartService) -> None:
    async with LossyProxy(redis_url, first(0)) as proxy:
        service = start_service(proxy.url)
        key, _ = await stepped(service, 1, 2, 3, history=2)
        proxy._loses = first(1)
        await service.histories.rewind(key, RewindTarget(steps=1), APPEND)
        assert proxy.cuts == 1
        assert await state(service, key) == history([1, 2])
        assert len((await service.histories.history(key)).states) == 2


async def test_two_processes_that_step_and_rewind_at_once_lose_nothing(
    redis_url: str, start_service: StartService
) -> None:
    """Whatever the order is, the log tells it: the final state is what the log leads to."""
    one, other = start_service(redis_url), start_service(redis_url)
    key, _ = await stepped(one, 1, 2, 3, history=3, log=1000)
    await step(other, key, 4)
    ways = [step(each, key, value) for each in (one, other) for value in range(8)]
    backs = [each.histories.rewind(key, RewindTarget(steps=1), APPEND) for each in (one, other)]
    done = await asyncio.gather(*ways, *backs, return_exceptions=True)
    assert all(not isinstance(each, Exception) or isinstance(each, OutOfReach) for each in done), done
    now = np.zeros(3, np.float32)
    for entry in await whole_log(one, key):
        if entry.state is not None:
            now[:] = np.frombuffer(entry.state, "<f4")
        for value in np.frombuffer(entry.inputs, "<f4"):
            now[:] = after(now, float(value))
    assert await state(one, key) == now.tolist()


async def whole_log(service: Service, key: SessionKey) -> list[LogEntry]:
    """Return all entries of a log, read page by page."""
    last: int | None = -1
    found: list[LogEntry] = []
    while last is not None:
        page = await service.histories.log(key, last, 3)
        assert 0 < len(page.entries) <= 3
        found += page.entries
        last = page.after
    return found


async def test_a_session_that_keeps_nothing_says_so(service: Service) -> None:
    key, places = await stepped(service, 1, 2)
    assert (await service.histories.history(key)).reachable == [(2, 2)]
    with pytest.raises(NotKept):
        await service.histories.rewind(key, RewindTarget(steps=1), APPEND)
    with pytest.raises(NotKept):
        await service.histories.log(key, -1, 10)
    with pytest.raises(EpochChanged):
        await service.histories.rewind(key, RewindTarget(steps=1), at(start_of(b"\0" * 8)))
    for wrong in (RewindTarget(), RewindTarget(step=1, steps=1)):
        with pytest.raises(InvalidInput):
            await service.histories.rewind(key, wrong, APPEND)
    assert await position(service, key) == places[2]


async def test_the_log_is_read_in_pages(service: Service) -> None:
    key, places = await stepped(service, *range(7), log=100)
    found = await whole_log(service, key)
    assert [entry.after for entry in found] == places
    assert [entry.kind for entry in found] == ["create", *["step"] * 7]
    assert b"".join(entry.inputs for entry in found) == np.arange(7, dtype="<f4").tobytes()


async def test_rows_that_are_left_out_have_a_field_of_their_own_in_the_log(
    service: Service, redis_client: "redis.Redis"
) -> None:
    """Resets before the first step are stored as they were before there were other flags."""
    key = await begin(service, batch_size=2, log=10)
    await service.sessions.step(key, a_step(1, 2), APPEND, reset=[True, False])
    await service.sessions.step(key, a_step(3), APPEND, rows=RowChoice(numbers=[1]), reset=True)
    resets = [[False], [True, False]]
    await service.sessions.sequence(key, np.ones((2, 2, 1), np.float32), APPEND, reset=resets)
    await service.sessions.sequence(key, np.ones((2, 2, 1), np.float32), APPEND, rows=RowChoice(lengths=[2, 1]))
    entries: Any = redis_client.xrange(service.store.keys.log(key))
    found = [{name: value for name, value in fields.items() if name in (b"r", b"f")} for _, fields in entries[1:]]
    assert found == [{b"r": b"\1\0"}, {b"f": b"\2\1"}, {b"f": b"\0\0\1\0"}, {b"f": b"\0\0\0\2"}]
    logged = await service.histories.log(key, -1, 100)
    for entry, fields in zip(logged.entries[1:], found, strict=False):  # a page has few entries
        assert [entry.row_flags] == [*fields.values()]
