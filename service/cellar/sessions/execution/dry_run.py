"""Steps that are run and not committed: a part of something that is to be committed as a whole, or not at all."""

from dataclasses import replace

from cellar.ports import APPEND, Committed, SessionRecord
from cellar.sessions.execution.kernel_batch import BatchItem
from cellar.sessions.requests.request import Request
from cellar.sessions.values.results import Floats, Mask


class DryRun(BatchItem):
    """A sequence on a session as it is given, which may be behind or ahead of what is stored.

    Once it has run, `after` is the session as it would be.
    """

    __slots__ = ("request",)

    def __init__(self, record: SessionRecord, inputs: Floats, reset: Mask | None, now_s: float) -> None:
        self.request = Request(record.key, "sequence", APPEND, b"", b"", now_s, inputs, reset)
        super().__init__([self.request], record)

    @property
    def after(self) -> SessionRecord:
        """The session behind the steps."""
        return replace(self.record, position=self.positions[-1], state=self.state)

    def end(self, failure: Exception | None) -> None:
        """Tell who waits that it has run, or that it could not."""
        done = (
            Committed(self.positions[-1], len(self.inputs), b"".join(self.outputs), False)
            if failure is None
            else failure
        )
        self.request.settle(done)
