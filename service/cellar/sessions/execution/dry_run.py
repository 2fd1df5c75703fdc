"""Runs steps without committing them, for a long sequence that is committed as a whole at its end."""

from dataclasses import replace

from cellar.ports import APPEND, Floats, Mask, SessionRecord, StepCommand
from cellar.sessions.execution.kernel_batch import BatchItem
from cellar.sessions.requests.request import StepRequest


class DryRun(BatchItem):
    """A sequence that is run on a given record of a session, which may differ from the stored one.

    When it has run, `after` is the record after the steps.
    """

    __slots__ = ("request",)

    def __init__(self, record: SessionRecord, inputs: Floats, reset: Mask | None, now_s: float) -> None:
        command = StepCommand(record.key, inputs, kind="sequence", is_finite=True)
        self.request = StepRequest(command, APPEND, b"", b"", now_s, inputs, reset)
        super().__init__([self.request], record)

    @property
    def after(self) -> SessionRecord:
        """The record after the steps."""
        return replace(self.record, position=self.positions[-1], state=self.state)

    def end(self, failure: Exception | None) -> None:
        """Complete the request with the result or the error of the run."""
        try:
            if failure is None:
                self.request.succeed(self.positions[-1], len(self.inputs), b"".join(self.outputs), False)
        except Exception as error:
            failure = error
        if failure is not None:
            self.request.finish(failure)
