"""Steps that are run and not committed: a part of something that is to be committed as a whole, or not at all."""

from dataclasses import replace

from cellar.ports import APPEND, Floats, Mask, SessionRecord, StepCommand
from cellar.sessions.execution.kernel_batch import BatchItem
from cellar.sessions.requests.request import StepRequest


class DryRun(BatchItem):
    """A sequence on a session as it is given, which may be behind or ahead of what is stored.

    Once it has run, `after` is the session as it would be.
    """

    __slots__ = ("request",)

    def __init__(self, record: SessionRecord, inputs: Floats, reset: Mask | None, now_s: float) -> None:
        command = StepCommand(record.key, inputs, kind="sequence", is_finite=True)
        self.request = StepRequest(command, APPEND, b"", b"", now_s, inputs, reset)
        super().__init__([self.request], record)

    @property
    def after(self) -> SessionRecord:
        """The session behind the steps."""
        return replace(self.record, position=self.positions[-1], state=self.state)

    def end(self, failure: Exception | None) -> None:
        """Tell who waits that it has run, or that it could not."""
        if failure is None:
            self.request.succeed(self.positions[-1], len(self.inputs), b"".join(self.outputs), False)
        else:
            self.request.finish(failure)
