"""Waiting for a pending result: not compiled, because mypyc is not safe where an error is raised after an await."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Result_co = TypeVar("Result_co", covariant=True)


class Pending(Protocol[Result_co]):
    """A pending result, as `PendingResult` has it."""

    def done(self) -> bool:
        """Return whether the result or the error is known."""

    def result(self) -> Result_co:
        """Return the result, or raise the error."""

    def when_done(self, call: Callable[[Any], object]) -> None:
        """Call `call` once the result or the error is known."""

    def cancel(self) -> None:
        """End it with CancelledError."""


async def wait_for(pending: Pending[Result_co]) -> Result_co:
    """Wait for a result. A task that is cancelled meanwhile cancels the request."""
    if not pending.done():
        coming = asyncio.Event()
        pending.when_done(lambda _: coming.set())
        try:
            await coming.wait()
        except asyncio.CancelledError:
            pending.cancel()
            raise
    return pending.result()
