"""Steps that were asked for, until they are answered."""

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from cellar.ports import Committed
from cellar.sessions.values.results import StepAnswer

logger = logging.getLogger(__name__)


class PendingResult:
    """What is to come of a request: awaited it is the answer, or raises what went wrong.

    One that transports wait for by a callback costs no future, no task and no turn of the event loop: they are called
    while the tick is settled.
    """

    __slots__ = ("_calls", "_outcome", "_rows")

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._outcome: Committed | BaseException | None = None
        self._calls: tuple[Callable[[Any], object], ...] = ()

    def __await__(self) -> Generator[Any, None, StepAnswer]:
        """Wait for the answer. A task that is cancelled meanwhile cancels the request."""
        yield from self.come().__await__()
        return self.result()

    async def come(self) -> Committed:
        """Wait, and return what was committed or raise what went wrong."""
        if self._outcome is None:
            coming = asyncio.Event()
            self.when_done(lambda _: coming.set())
            try:
                await coming.wait()
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.committed()

    def result(self) -> StepAnswer:
        """Return the answer that has come, or raise what went wrong."""
        done = self.committed()
        output = done.output
        if output is None:
            return StepAnswer(done.position, None, done.replayed)
        return StepAnswer(
            done.position, np.frombuffer(output, dtype="<f4").reshape(done.steps, self._rows, -1), done.replayed
        )

    def when_done(self, call: Callable[[Any], object]) -> None:
        """Call with this once the answer, or an error, has come; shortly, if it has.

        The call comes among those of all who were answered in the tick, so it is to be quick. It may submit requests.
        """
        if self._outcome is None:
            self._calls = (*self._calls, call)
        else:
            asyncio.get_running_loop().call_soon(call, self)

    def done(self) -> bool:
        """Return whether it has come."""
        return self._outcome is not None

    @property
    def failed(self) -> bool:
        """Whether it has come, and is no answer."""
        return isinstance(self._outcome, BaseException)

    @property
    def outcome(self) -> Committed | BaseException:
        """What was committed, as it came from the store, or what went wrong."""
        assert self._outcome is not None, "it has not come yet"
        return self._outcome

    def settle(self, outcome: Committed | BaseException) -> None:
        """Give the answer, or what went wrong, to those who wait. Only the first one counts."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        calls, self._calls = self._calls, ()
        for call in calls:
            try:
                call(self)
            except Exception:  # a fault of one who waits; the others of the tick are not to suffer for it
                logger.exception("an answer was not taken")

    def cancel(self) -> None:
        """Let it be known that nobody waits any more."""
        self.settle(asyncio.CancelledError())

    def committed(self) -> Committed:
        """Return what was committed, as it came from the store, or raise what went wrong."""
        outcome = self.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome
