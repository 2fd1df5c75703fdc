"""The turns of networks on the kernels' threads: each gets its share of their time, however long its calls are.

A thread pool takes calls in the order in which they come, so a network with long calls gets most of the time. Here
the network that has used the least time goes first (start-time fair queueing): a light one waits for a call that has
begun, and for no queue of long ones. A network that was idle saves nothing up.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

Done = Callable[[asyncio.Future[float]], object]


class ThreadShare:
    """How much time of the threads a network has used, since times are compared."""

    __slots__ = ("used_s",)

    def __init__(self) -> None:
        self.used_s = 0.0


class ThreadShares:
    """Starts calls on the threads, no more at a time than there are."""

    def __init__(self, executor: Executor, threads: int) -> None:
        self.executor = executor
        self.threads = threads
        self._running = 0
        self._waiting: list[tuple[ThreadShare, Callable[[], float], Done]] = []
        self._now_s = 0.0
        """What the network whose call began last had used then."""

    def run(self, account: ThreadShare, call: Callable[[], float], done: Done) -> None:
        """Run the call, which returns how many seconds it took, on a thread when it is its turn, and then call `done`.

        A network has one call here at a time.
        """
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
        """Begin the call; if that fails, the future has failed: it is not the fault of whoever asks now."""
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
