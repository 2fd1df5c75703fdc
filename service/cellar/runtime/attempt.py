"""Steps that are run and not committed: a part of something that is to be committed as a whole, or not at all."""

import asyncio

from cellar.ports import APPEND, Committed, SessionRecord
from cellar.runtime.answers import Floats, Mask
from cellar.runtime.batcher import Work
from cellar.runtime.lane import Lane, Request


class Attempt(Work):
    """A sequence on a session as it is given, which may be behind or ahead of what is stored.

    Once it has run, `after` is the session as it would be.
    """

    __slots__ = ("done",)

    def __init__(
        self, record: SessionRecord, inputs: Floats, reset: Mask | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.done: asyncio.Future[Committed] = loop.create_future()
        request = Request(record.key, "sequence", APPEND, b"", b"", self.done, loop.time(), inputs, reset)
        super().__init__(Lane(record.key), [request], record)

    @property
    def after(self) -> SessionRecord:
        """The session behind the steps."""
        return self.record._replace(position=self.positions[-1], state=self.state)

    def end(self, failure: Exception | None) -> None:
        """Tell who waits that it has run, or that it could not."""
        if self.done.done():
            return
        if failure is not None:
            self.done.set_exception(failure)
        else:
            self.done.set_result(Committed(self.positions[-1], len(self.inputs), b"".join(self.outputs), False))
