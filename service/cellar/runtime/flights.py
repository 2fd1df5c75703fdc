"""Commits on their way to the store: few at a time, so that a tick holds what came while they flew.

A tick costs several times what one more session in it costs, here and in the store, which writes all that has come to
its disk at once. With two on their way the store always has one to work at, and under load the next one grows.

One that is long overdue is not waited for: its server may be gone, and sessions on other servers are to go on.
"""

import asyncio
from collections.abc import Callable
from itertools import count

MOST = 2

OVERDUE_S = 0.25
"""A hundred times what a commit takes."""


class Flights:
    """Counts the commits, and lets those wait who would begin another one."""

    def __init__(self, most: int = MOST, overdue_s: float = OVERDUE_S) -> None:
        self._most = most
        self._overdue_s = overdue_s
        self._numbers = count()
        self._begun: dict[int, float] = {}
        """Those on their way, in the order in which they began, and when that was."""
        self._waiting: list[Callable[[], object]] = []
        self._timer: asyncio.TimerHandle | None = None

    def is_full(self) -> bool:
        """Return whether another commit has to wait."""
        if len(self._begun) < self._most:
            return False
        overdue = asyncio.get_running_loop().time() - self._overdue_s
        return [*self._begun.values()][-self._most] > overdue

    def begin(self) -> int:
        """Note a commit that is sent, and return its number."""
        number = next(self._numbers)
        self._begun[number] = asyncio.get_running_loop().time()
        return number

    def end(self, number: int) -> None:
        """Note that its results are there."""
        del self._begun[number]
        self._release()

    def when_room(self, call: Callable[[], object]) -> None:
        """Call once another commit may be sent."""
        self._waiting.append(call)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._overdue_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._release()
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(self._overdue_s, self._look)

    def _release(self) -> None:
        if self._waiting and not self.is_full():
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()
