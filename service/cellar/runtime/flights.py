"""Commits on their way to the store: few at a time, so that a tick holds what came while they flew.

A tick costs several times what one more session in it costs, here and in the store, which writes all that has come to
its disk at once. With two on their way the store always has one to work at, and under load the next one grows. One
that is late counts no more: of a store of several servers one may hang, and the others are not to wait for it.
"""

import asyncio
from collections.abc import Callable

MOST = 2

LATE_S = 0.25
"""Much longer than a disk takes to write, much shorter than a client's patience."""


class Flight:
    """One commit that is on its way."""

    __slots__ = ("began_s",)

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s


class Flights:
    """Counts the commits, and lets those wait who would begin another one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._flying: list[Flight] = []
        self._waiting: list[Callable[[], object]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether another commit has to wait."""
        return len(self._flying) >= self._most

    def begin(self) -> Flight:
        """Note a commit that is sent."""
        flight = Flight(asyncio.get_running_loop().time())
        self._flying.append(flight)
        return flight

    def end(self, flight: Flight) -> None:
        """Note that results of it are there; what has ended already does no harm."""
        if flight in self._flying:
            self._flying.remove(flight)
            self._let_go()

    def when_room(self, call: Callable[[], object]) -> None:
        """Call once another commit may be sent."""
        self._waiting.append(call)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATE_S, self._look)

    def _let_go(self) -> None:
        if not self.full:
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()

    def _look(self) -> None:
        """Give up those that are late, and look again as long as anybody waits."""
        loop, self._timer = asyncio.get_running_loop(), None
        late_s = loop.time() - LATE_S
        self._flying = [flight for flight in self._flying if flight.began_s > late_s]
        self._let_go()
        if self._waiting and self._timer is None:
            self._timer = loop.call_later(LATE_S, self._look)
