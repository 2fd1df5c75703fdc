"""The pending result of steps that another process runs."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from cellar.errors import StoreUnavailable, Unavailable
from cellar.ports import StepCommand, StepResult
from cellar.sessions.forwarding.messages import Outcome, Plain, changes_of, outcome_of
from cellar.sessions.requests.request import PendingResult, PendingSteps
from cellar.sessions.requests.request_state import WAITING
from cellar.sessions.requests.step_batch import BatchOutcomes, StepBatch

Submit = Callable[[StepCommand, PendingResult[Any] | None], PendingSteps]

OUTCOME, LANDED, EACH, CANCELLED = range(4)
"""Kinds of answers: a result or an error; a batch that was committed; the result or error of each step of a batch; and
a request that was cancelled."""

LOST = "the process that the step was forwarded to has ended or does not answer; the step may have been applied"


class ForwardedStep(PendingResult[StepResult]):
    """A step or a sequence that was forwarded."""

    __slots__ = ("_cancelled", "after", "command", "is_sent", "nbytes", "number", "request")

    count = 1

    def __init__(
        self,
        command: StepCommand,
        after: PendingResult[Any] | None,
        number: int,
        nbytes: int,
        cancelled: "Callable[[ForwardedStep], object]",
    ) -> None:
        self._outcome = None  # as PendingResult does it: each step saves a call
        self._calls = ()
        self.state = WAITING
        self.command = command
        self.after = after
        """The request that must succeed before it."""
        self.number = number
        """Its number on the connection."""
        self.nbytes = nbytes
        self.is_sent = False
        """Whether the other process may have received it."""
        self.request: PendingSteps | None = None
        """The request that takes its place, if it is submitted again."""
        self._cancelled = cancelled

    def cancel(self) -> None:
        """End it with CancelledError, because the client has disconnected."""
        if not self.done():
            super().cancel()
            if self.request is not None:
                self.request.cancel()
            else:
                self._cancelled(self)

    def take(self, kind: int, packed: Plain) -> None:
        """End it with the answer of the other process."""
        if kind == OUTCOME:
            self.finish(outcome_of(packed, self.command))

    def submit_again(self, submit: Submit) -> None:
        """Submit the command again, because the other process has not answered; or end it if it might run twice.

        The commit script recognises a command with an identity if it was applied before.
        """
        command, identity = self.command, self.command.identity
        if self.is_sent:
            in_time = command.deadline_s is None or monotonic() < (command.came_s or 0.0) + command.deadline_s
            if not (in_time and (identity.ordered or identity.key is not None)):
                return self.finish(StoreUnavailable(LOST, outcome="unknown"))
        try:
            self.request = submit(command, self.after)
        except Exception as error:
            return self.finish(self._told(error))
        return self.request.when_done(self._take_over)

    def _take_over(self, request: PendingSteps) -> None:
        """End it with the outcome of the request that took its place."""
        self.finish(self._told(request.outcome))

    def _told(self, outcome: Outcome) -> Outcome:
        """Return the outcome of another try, in which an error does not say that nothing was applied."""
        if self.is_sent and isinstance(outcome, Unavailable) and outcome.outcome == "not_applied":
            return StoreUnavailable(LOST, outcome="unknown", retry_after_s=outcome.retry_after_s)
        return outcome


class ForwardedBatch(ForwardedStep):
    """A batch that was forwarded."""

    __slots__ = ("batch", "count")

    def __init__(
        self,
        command: StepCommand,
        after: PendingResult[Any] | None,
        number: int,
        nbytes: int,
        cancelled: Callable[[ForwardedStep], object],
    ) -> None:
        super().__init__(command, after, number, nbytes, cancelled)
        self.count = len(command.inputs)
        self.batch = BatchOutcomes(command)

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The result or the error of each step."""
        return self.batch.each(self.outcome)

    def take(self, kind: int, packed: Plain) -> None:
        """End it with the answer of the other process."""
        if kind == LANDED:
            self.batch.land(self, *changes_of(packed))
        elif kind == EACH:
            self.batch.finish_each(self, [outcome_of(each, self.command) for each in packed])
        else:
            super().take(kind, packed)

    def _take_over(self, request: PendingSteps) -> None:
        assert isinstance(request, PendingBatch)
        landed = request.batch.landed
        if landed is not None:
            self.batch.land(self, landed, request.result().model)
        else:
            self.batch.finish_each(self, [self._told(outcome) for outcome in request.outcomes])


PendingBatch = StepBatch | ForwardedBatch
"""The pending result of a batch: the last result or the first error. It has the outcome of each step beside it."""
