"""A batch of single steps of one session, which are run and committed together unless one of them fails.

A step that is queued, run, packed and answered by itself takes twenty microseconds, most of it between parts of the
service. A batch passes them once. If one of its steps has a conflict or a number that is not finite, or if another
process has changed the session, the batch is divided, and each step is run by itself, with the same result.
"""

from collections.abc import Sequence
from typing import Any

from cellar.ports import APPEND, MARK_BYTES, UNMARKED, Change, Changes, Identity, StepChanges, StepCommand, StepResult
from cellar.sessions.requests.request import PendingSteps, Request, StepRequest

Outcome = StepResult | BaseException


class BatchOutcomes:
    """The results or errors of the steps of a batch, which are all known when its pending result is."""

    __slots__ = ("_each", "command", "landed")

    def __init__(self, command: StepCommand) -> None:
        self.command = command
        self.landed: StepChanges | None = None
        """The committed change, if the commit has succeeded."""
        self._each: Sequence[Outcome] = ()

    def each(self, outcome: Outcome) -> Sequence[Outcome]:
        """Return the result or the error of each step of a batch that has ended with this one."""
        if self.landed is not None and not self._each and isinstance(outcome, StepResult):
            self._each = [self.result_of(change, outcome.model) for change in self.landed]
        return self._each or [outcome] * len(self.command.inputs)

    def land(self, pending: PendingSteps, changes: StepChanges, model: str | None) -> None:
        """Answer all steps, which are committed as these changes. `model` is as of `StepResult`."""
        if not pending.done():
            self.landed = changes
            size = len(changes.outputs) // len(changes)
            pending.finish(StepResult(self.command, changes.after, 1, changes.outputs[-size:], False, model))

    def finish_each(self, pending: PendingSteps, outcomes: Sequence[Outcome]) -> None:
        """Give each step its result or its error; the batch gets the last result or the first error."""
        if not pending.done():
            self._each = outcomes
            failure = next((each for each in outcomes if isinstance(each, BaseException)), None)
            pending.finish(failure or outcomes[-1])

    def result_of(self, change: Change, model: str | None) -> StepResult:
        """Return the result of one of the steps."""
        return StepResult(self.command, change.after, change.steps, change.output, False, model)


class StepBatch(StepRequest):
    """Single steps (T, rows, in_size) of one session, T at least 1, numbered from the step of the command or appended.

    `marks` are their joined fingerprints if they are numbered, otherwise their joined nonces.
    """

    __slots__ = ("_left", "_singles", "batch", "count", "marks")

    def __init__(self, command: StepCommand, marks: bytes, began_s: float) -> None:
        mark, inputs = marks[:MARK_BYTES], command.inputs
        is_numbered = command.identity.step is not None
        super().__init__(command, command.identity, mark if is_numbered else UNMARKED, mark, began_s, inputs)
        steps, rows, in_size = inputs.shape
        self.count, self.shape, self.size = steps, (1, rows, in_size), (rows, 1)
        self.marks = marks
        self.batch = BatchOutcomes(command)
        self._singles: list[StepRequest] = []
        self._left = 0

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The result or the error of each step."""
        return self.batch.each(self.outcome)

    def singles(self) -> list[StepRequest]:
        """Divide the batch and return its steps, which end it. If it was cancelled, they are cancelled."""
        self._left = self.count
        before, first = self.predecessor, self.identity.step
        for index in range(self.count):
            mark = self.marks[MARK_BYTES * index : MARK_BYTES * (index + 1)]
            identity, fingerprint = (APPEND, UNMARKED) if first is None else (Identity(step=first + index), mark)
            inputs = self.inputs[index : index + 1]
            single = StepRequest(self.command, identity, fingerprint, mark, self.began_s, inputs)
            single.taken_s, single.tried_s = self.taken_s, self.tried_s
            single.predecessor, single.until_s, single.model = before, self.until_s, self.model
            single.when_done(self._note_end)
            before = None if first is None else single
            self._singles.append(single)
            if self.done():
                single.cancel()
        return self._singles

    def give_up(self, error: BaseException) -> None:
        """End the batch with this error, and with it all of its steps that have not ended."""
        for single in self._singles:
            single.give_up(error)
        super().give_up(error)

    def _note_end(self, _: StepRequest) -> None:
        self._left -= 1
        if not self._left:
            self.batch.finish_each(self, [single.outcome for single in self._singles])


def answer(requests: Sequence[Request[Any]], changes: Changes, model: str | None) -> None:
    """Answer committed requests, each with its changes. Both sequences have the same order.

    `model` is the version that ran them, if the session follows an alias.
    """
    at = 0
    for request in requests:
        if not isinstance(request, StepBatch):
            change = changes[at]
            request.succeed(change.after, change.steps, change.output, False, model)
        elif isinstance(changes, StepChanges):
            own = changes if request.count == len(changes) else changes[at : at + request.count]
            request.batch.land(request, own, model)
        else:
            batch = request.batch
            each = [batch.result_of(change, model) for change in changes[at : at + request.count]]
            batch.finish_each(request, each)
        at += request.count
