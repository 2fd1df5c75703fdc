"""Schedules kernel calls on threads, with equal shares of time for each network, however long its calls are.

A thread pool runs calls in the order of their arrival, so a network with long calls would get most of the time. Here
the network that has used the least time runs first (start-time fair queueing). A network with short calls waits for a
running call, but not for a queue of long ones. A network that was idle gets no credit for that time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

Done = Callable[[asyncio.Future[float]], object]


class ThreadShare:
    """The thread time that a network has used, comparable with that of other networks."""

    __slots__ = ("used_s",)

    def __init__(self) -> None:
        self.used_s = 0.0


class ThreadShares:
    """Runs calls on the threads, at most one on each thread."""

    def __init__(self, executor: Executor, threads: int) -> None:
        self.executor = executor
        self.threads = threads
        self._running = 0
        self._waiting: list[tuple[ThreadShare, Callable[[], float], Done]] = []
        self._now_s = 0.0
        """The used time of the network whose call was started last."""

    def run(self, account: ThreadShare, call: Callable[[], float], done: Done) -> None:
        """Run a network's only call, which returns its seconds, on a thread in its turn, then call `done`."""
        account.used_s = max(account.used_s, self._now_s)
        self._waiting.append((account, call, done))
        self._start()

    def _start(self) -> None:
        while self._waiting and self._running < self.threads:
            turn = min(self._waiting, key=lambda each: each[0].used_s)
            self._waiting.remove(turn)
            account, call, done = turn
            self._now_s = max(self._now_s, account.used_s)
            running = self._begin(call)
            self._running += 1
            running.add_done_callback(partial(self._end, account, done))

    def _begin(self, call: Callable[[], float]) -> asyncio.Future[float]:
        """Start a call. If that fails, return a failed future instead of raising in a call for another network."""
        loop = asyncio.get_running_loop()
        try:
            return loop.run_in_executor(self.executor, call)
        except Exception as error:
            failed: asyncio.Future[float] = loop.create_future()
            failed.set_exception(error)
            return failed

    def _end(self, account: ThreadShare, done: Done, ran: asyncio.Future[float]) -> None:
        self._running -= 1
        if not ran.cancelled() and ran.exception() is None:
            account.used_s += ran.result()
        try:
            done(ran)
        finally:
            self._start()
