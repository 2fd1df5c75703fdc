"""Turns on the threads: each network gets its share of their time. Calls say themselves how long they took."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cellar.sessions.execution.thread_shares import ThreadShare, ThreadShares

pytestmark = pytest.mark.anyio


class Network:
    """Has a number of calls of the same length to make, and asks for the next one when one has ended."""

    def __init__(self, name: str, turns: ThreadShares, call_s: float, calls: int, order: list[str]) -> None:
        self.name = name
        self.left = calls
        self.ended = asyncio.Event()
        self._turns, self._call_s, self._order, self._account = turns, call_s, order, ThreadShare()

    def ask(self) -> None:
        self._turns.run(self._account, self._call, self._done)

    def _call(self) -> float:
        self._order.append(self.name)
        return self._call_s

    def _done(self, ran: asyncio.Future[float]) -> None:
        assert ran.result() == self._call_s
        self.left -= 1
        if self.left:
            self.ask()
        else:
            self.ended.set()


async def test_a_slow_network_gets_no_more_time_than_a_light_one() -> None:
    order: list[str] = []
    with ThreadPoolExecutor(1) as executor:
        turns = ThreadShares(executor, 1)
        slow, light = Network("slow", turns, 0.1, 20, order), Network("light", turns, 0.001, 300, order)
        slow.ask()
        light.ask()
        await light.ended.wait()
        assert 2 <= order.count("slow") <= 5  # 300 calls of a millisecond are three of the slow one's
        await slow.ended.wait()


async def test_who_comes_later_has_saved_nothing_up() -> None:
    order: list[str] = []
    with ThreadPoolExecutor(1) as executor:
        turns = ThreadShares(executor, 1)
        first, other = Network("first", turns, 1.0, 1000, order), Network("other", turns, 1.0, 10, order)
        late = Network("late", turns, 1.0, 10, order)
        first.ask()
        other.ask()
        await other.ended.wait()
        began = len(order)
        late.ask()
        await late.ended.wait()
        assert order[began:].count("first") >= 8
        first.left = 1
        await first.ended.wait()


async def test_no_more_run_at_a_time_than_there_are_threads() -> None:
    running = most = 0
    lock, ended = threading.Lock(), asyncio.Semaphore(0)

    def call() -> float:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return 0.0

    with ThreadPoolExecutor(8) as executor:
        turns = ThreadShares(executor, 2)
        for _ in range(50):
            turns.run(ThreadShare(), call, lambda _: ended.release())
        for _ in range(50):
            await ended.acquire()
    assert most <= 2


async def test_a_call_that_fails_or_cannot_begin_is_told_and_the_others_go_on() -> None:
    told: list[BaseException | None] = []
    executor = ThreadPoolExecutor(1)
    turns = ThreadShares(executor, 1)
    ended = asyncio.Semaphore(0)

    def done(ran: asyncio.Future[float]) -> None:
        told.append(ran.exception())
        ended.release()
        if len(told) == 1:
            raise ValueError("of the one who is told")

    def fail() -> float:
        raise RuntimeError("the kernel broke")

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    turns.run(ThreadShare(), fail, done)
    turns.run(ThreadShare(), lambda: 0.0, done)
    for _ in range(2):
        await ended.acquire()
    executor.shutdown()
    turns.run(ThreadShare(), lambda: 0.0, done)
    await ended.acquire()
    assert [type(each) for each in told] == [RuntimeError, type(None), RuntimeError]
