"""A limited queue of steps of a bulk request: those that were read and whose answers are not written yet."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from cellar.api.bulk.steps import BulkStep
from cellar.sessions.requests.request import PendingResult, PendingSteps

MOST_STEPS = 2048
"""Half of the steps that may wait in the service by default, so that one request never takes all of it."""

MOST_BYTES = 4 * 1024 * 1024


class Group(NamedTuple):
    """Steps that were begun together. `last` is whether a part of the request ends with them."""

    steps: list[BulkStep]
    pending: list[PendingSteps | Exception]
    size_bytes: int
    last: bool

    async def settled(self) -> None:
        """Wait until every step has its answer, or has failed."""
        for pending in self.pending:
            if isinstance(pending, PendingResult) and not pending.done():
                with suppress(Exception):  # the writer handles it
                    await pending


class Window:
    """One reader puts groups; one writer takes them and releases each when it is written."""

    def __init__(self) -> None:
        self._groups: deque[Group] = deque()
        self._taken = 0
        self._steps = self._bytes = 0
        self._ended = False
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    async def room(self, steps: int, size_bytes: int) -> None:
        """Wait until this many steps and bytes fit. More than the whole window fit when it is empty."""
        await self._until(
            lambda: not self._groups or (self._steps + steps <= MOST_STEPS and self._bytes + size_bytes <= MOST_BYTES)
        )

    async def settled(self) -> None:
        """Wait until every step has its answer, written or not."""
        for group in [*self._groups]:
            await group.settled()

    def put(self, group: Group) -> None:
        """Add a group."""
        self._groups.append(group)
        self._count(group, 1)

    def end(self, failure: Exception | None = None) -> None:
        """End the queue. `failure` is raised in the writer after the last group."""
        self._ended, self._failure = True, failure
        self._changed.set()

    async def take(self) -> Group | None:
        """Return the next group, None after the last. Raise the failure of the reader."""
        await self._until(lambda: self._ended or self._taken < len(self._groups))
        if self._taken < len(self._groups):
            self._taken += 1
            return self._groups[self._taken - 1]
        if self._failure is not None:
            raise self._failure
        return None

    def release(self) -> None:
        """Remove the first group, which is written."""
        self._taken -= 1
        self._count(self._groups.popleft(), -1)

    def abandon(self) -> None:
        """Cancel the steps of all groups that are left."""
        for group in self._groups:
            for pending in group.pending:
                if isinstance(pending, PendingResult):
                    pending.cancel()

    def _count(self, group: Group, sign: int) -> None:
        self._steps += sign * len(group.steps)
        self._bytes += sign * group.size_bytes
        self._changed.set()

    async def _until(self, met: Callable[[], bool]) -> None:
        while not met():
            self._changed.clear()
            await self._changed.wait()
