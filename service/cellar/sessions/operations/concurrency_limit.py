"""Places for work that takes its time: few run at once, few wait for a place, and none of them for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cellar.errors import Overloaded

AT_ONCE = 2
"""Logs of a process that are run at a time: they use the threads that answer steps."""

MOST_WAITING = 32
"""Requests that may wait for a place."""

WAIT_S = 10.0
"""How long one waits at most: less than clients usually do."""

RETRY_S = 5
"""When one that found no place may come again."""


class ConcurrencyLimit:
    """Hands out places on the event loop, in the order in which they were asked for."""

    def __init__(self, most: int = AT_ONCE, *, most_waiting: int = MOST_WAITING, wait_s: float = WAIT_S) -> None:
        self._free = asyncio.Semaphore(most)
        self._most_waiting = most_waiting
        self._wait_s = wait_s
        self._waiting = 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Have a place. Raise Overloaded if too many wait for one, or none has become free in time."""
        await self._acquire()
        try:
            yield
        finally:
            self._free.release()

    async def _acquire(self) -> None:
        if self._free.locked() and self._waiting >= self._most_waiting:
            raise Overloaded("too many replays, migrations and rewinds are waiting", retry_after_s=RETRY_S)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            detail = f"other replays, migrations and rewinds have left no place for {self._wait_s:g} s"
            raise Overloaded(detail, retry_after_s=RETRY_S) from None
        finally:
            self._waiting -= 1
