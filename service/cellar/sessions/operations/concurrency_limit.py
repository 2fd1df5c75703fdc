"""Limits how many replays, migrations and rewinds run their logs at the same time, and how many may wait for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cellar.errors import Overloaded

AT_ONCE = 2
"""Logs that a process runs at the same time: they use the same threads as steps."""

MOST_WAITING = 32
"""Requests that may wait for a slot."""

WAIT_S = 10.0
"""The longest wait for a slot, shorter than the usual timeouts of clients."""

RETRY_S = 5
"""`Retry-After` of a request that got no slot."""


class ConcurrencyLimit:
    """A semaphore on the event loop with a bounded queue. Slots are given in the order of the requests."""

    def __init__(
        self,
        most: int = AT_ONCE,
        *,
        most_waiting: int = MOST_WAITING,
        wait_s: float = WAIT_S,
        what: str = "replays, migrations and rewinds",
    ) -> None:
        """`what` are the requests, in the words of errors."""
        self._free = asyncio.Semaphore(most)
        self._most_waiting = most_waiting
        self._wait_s = wait_s
        self._waiting, self._what = 0, what

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot. Raise Overloaded if too many requests wait for one, or if none becomes free in time."""
        await self._acquire()
        try:
            yield
        finally:
            self._free.release()

    async def _acquire(self) -> None:
        if self._free.locked() and self._waiting >= self._most_waiting:
            raise Overloaded(f"too many {self._what} are waiting", retry_after_s=RETRY_S)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            detail = f"other {self._what} kept this one waiting for {self._wait_s:g} s"
            raise Overloaded(detail, retry_after_s=RETRY_S) from None
        finally:
            self._waiting -= 1
