"""Commits on their way to the store: few at a time, so that a tick holds what came while they flew.

A tick costs several times what one more session in it costs, here and in the store, which writes all that has come to
its disk at once. With two on their way the store always has one to work at, and under load the next one grows.
"""

from collections.abc import Callable

MOST = 2


class Flights:
    """Counts the commits, and lets those wait who would begin another one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._count = 0
        self._waiting: list[Callable[[], object]] = []

    @property
    def full(self) -> bool:
        """Whether another commit has to wait."""
        return self._count >= self._most

    def begin(self) -> None:
        """Note a commit that is sent."""
        self._count += 1

    def end(self) -> None:
        """Note that its results are there."""
        self._count -= 1
        if not self.full:
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()

    def when_room(self, call: Callable[[], object]) -> None:
        """Call once another commit may be sent."""
        self._waiting.append(call)
