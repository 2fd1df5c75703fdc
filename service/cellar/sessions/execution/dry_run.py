"""A run of a sequence that is not committed, in batches with the steps of sessions."""

from dataclasses import replace

from cellar.ports import APPEND, Floats, RowFlags, SessionRecord, StepCommand
from cellar.sessions.execution.kernel_batch import BatchItem
from cellar.sessions.requests.request import StepRequest
from cellar.sessions.values.model_protocol import Network


class DryRun(BatchItem):
    """A sequence that is run on a given record, perhaps not the stored one; `after` is the record after it."""

    __slots__ = ("request",)

    def __init__(
        self, record: SessionRecord, network: Network, inputs: Floats, flags: RowFlags | None, now_s: float
    ) -> None:
        command = StepCommand(record.key, inputs, kind="sequence", is_finite=True)
        self.request = StepRequest(command, APPEND, b"", b"", now_s, inputs, flags)
        super().__init__([self.request], record, network)

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
