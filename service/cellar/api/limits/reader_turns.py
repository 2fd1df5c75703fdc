"""Limits how many requests read whole files of readings at a time, and in which order those of several tenants do."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, Lock
from anyio.to_thread import run_sync

from cellar.ports import ANYBODY, Caller

AT_ONCE = 2
"""Requests of a kind that a process runs at a time; further ones wait. Each takes a processor for as long."""

Result = TypeVar("Result")


class ReaderTurns:
    """Runs functions that may take minutes on threads of their own, so that all other requests find a thread.

    With API keys a tenant has one at a time, so that it does not keep the others waiting.
    """

    def __init__(self) -> None:
        self._threads: CapacityLimiter | None = None
        self._turns: dict[str, Lock] = {}
        """By tenant, the turns of its requests."""

    async def run(self, work: Callable[[], Result], caller: Caller) -> Result:
        """Return the value of a function, which runs when the caller has its turn."""
        if self._threads is None:
            self._threads = CapacityLimiter(AT_ONCE)
        if caller is ANYBODY:
            return await run_sync(work, limiter=self._threads)
        async with self._turns.setdefault(caller.tenant, Lock()):
            return await run_sync(work, limiter=self._threads)
