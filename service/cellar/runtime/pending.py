"""Steps that were asked for, until they are answered."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from cellar.ports import Committed
from cellar.runtime.answers import StepAnswer


class Pending:
    """What is to come of a request: awaited it is the answer, or raises what went wrong.

    One that transports wait for by a callback costs no task.
    """

    __slots__ = ("_rows", "future")

    def __init__(self, future: asyncio.Future[Committed], rows: int) -> None:
        self.future = future
        self._rows = rows

    def __await__(self) -> Generator[Any, None, StepAnswer]:
        """Wait for the answer."""
        return self._answer((yield from self.future.__await__()))

    def result(self) -> StepAnswer:
        """Return the answer that has come, or raise what went wrong."""
        return self._answer(self.future.result())

    def when_done(self, call: Callable[["Pending"], None]) -> None:
        """Call once the answer, or an error, has come."""
        self.future.add_done_callback(lambda _: call(self))

    def done(self) -> bool:
        """Return whether it has come."""
        return self.future.done()

    def cancel(self) -> None:
        """Let it be known that nobody waits any more."""
        self.future.cancel()

    def _answer(self, done: Committed) -> StepAnswer:
        output = None
        if done.output is not None:
            output = np.frombuffer(done.output, dtype="<f4").reshape(done.steps, self._rows, -1)
        return StepAnswer(done.position, output, done.replayed)
