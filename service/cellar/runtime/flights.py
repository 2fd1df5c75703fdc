"""Commits on their way to the store: few at a time, so that a tick holds what came while they flew.

A tick costs several times what one more session in it costs, here and in the store, which writes all that has come to
its disk at once. With two on their way the store always has one to work at, and under load the next one grows.
"""

import asyncio

MOST = 2


class Flights:
    """Counts the commits, and lets those wait who would begin another one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._count = 0
        self._room = asyncio.Event()
        self._room.set()

    def begin(self) -> None:
        """Note a commit that is sent."""
        self._count += 1
        if self._count >= self._most:
            self._room.clear()

    def end(self) -> None:
        """Note that its results are there."""
        self._count -= 1
        if self._count < self._most:
            self._room.set()

    async def room(self) -> None:
        """Wait until another commit may be sent."""
        while not self._room.is_set():
            await self._room.wait()
