"""What connections have left to do is dealt out: in short turns, with pauses while others send requests one by one."""

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from cellar.api.limits import round_robin
from cellar.api.limits.round_robin import (
    CALM_S,
    MOST_A_TURN,
    MOST_AMONG_OTHERS,
    ONE_AT_ONCE_S,
    PAUSE_S,
    SHARE_S,
    RoundRobin,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Stop the clock of the round robin at what stands here."""
    now = [1000.0]
    monkeypatch.setattr(round_robin, "monotonic", lambda: now[0])
    return now


async def turns_of(dealt: RoundRobin, works: int, done: Callable[[int], None] = lambda _: None) -> list[int]:
    """Return how many of these works were done in each turn that did any."""
    found: list[int] = []
    count = 0

    def work(_until_s: float) -> None:
        nonlocal count
        count += 1
        done(count)

    for _ in range(works):
        dealt.add(work)
    before = 0
    until_s = monotonic() + 10
    while count < works and monotonic() < until_s:
        await asyncio.sleep(0)
        if count > before:
            found.append(count - before)
            before = count
    return found


async def test_a_turn_is_behind_the_other_in_a_quiet_process(clock: list[float]) -> None:
    assert await turns_of(RoundRobin(), 2 * MOST_A_TURN) == [MOST_A_TURN] * 2


async def test_while_others_send_requests_there_are_pauses(clock: list[float]) -> None:
    dealt = RoundRobin()
    loop = asyncio.get_running_loop()
    times: list[float] = []
    dealt.single += 1
    found = await turns_of(dealt, 3 * MOST_AMONG_OTHERS, lambda _: times.append(loop.time()))
    assert found == [MOST_AMONG_OTHERS] * 3
    gaps = [late - early for early, late in zip(times, times[MOST_AMONG_OTHERS:], strict=False)]
    assert min(gaps) >= PAUSE_S / 2


async def test_who_comes_back_at_once_waits_for_a_pause_too(clock: list[float]) -> None:
    """A pipelined request is a task: its connection has nothing left to do while that runs."""
    dealt = RoundRobin()
    await turns_of(dealt, 1)
    dealt.single += 1
    await turns_of(dealt, 1)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await turns_of(dealt, 1)
    assert loop.time() - began_s >= PAUSE_S / 2


async def test_pauses_end_when_no_other_request_has_come_for_a_while(clock: list[float]) -> None:
    dealt = RoundRobin()
    dealt.single += 1
    await turns_of(dealt, 1)
    clock[0] += CALM_S
    assert await turns_of(dealt, MOST_A_TURN) == [MOST_A_TURN]


async def test_one_gets_less_at_once_shortly_after_a_flood(clock: list[float]) -> None:
    dealt = RoundRobin()
    assert dealt.until_s() == pytest.approx(clock[0] + ONE_AT_ONCE_S)
    await turns_of(dealt, 1)
    assert dealt.until_s() == pytest.approx(clock[0] + SHARE_S)
    clock[0] += CALM_S
    await asyncio.sleep(0.002)  # another turn of the loop
    assert dealt.until_s() == pytest.approx(clock[0] + ONE_AT_ONCE_S)


async def test_a_work_that_fails_costs_no_other_a_turn(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    dealt = RoundRobin()

    def fail(_until_s: float) -> None:
        raise ValueError("of one connection")

    dealt.add(fail)
    assert await turns_of(dealt, 1) == [1]
    assert "a connection has failed" in caplog.text


async def test_a_task_that_is_cancelled_has_no_turn() -> None:
    dealt = RoundRobin()
    waiting = asyncio.create_task(_turn(dealt))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await turns_of(dealt, 1) == [1]
    assert waiting.cancelled()


async def _turn(dealt: RoundRobin) -> float:
    return await dealt.turn()
