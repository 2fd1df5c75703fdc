"""A batch of single steps of one session, which are run and committed together unless one of them fails.

A step that is queued, run, packed and answered by itself takes twenty microseconds, most of it between parts of the
service. A batch passes them once. If one of its steps has a conflict or a number that is not finite, or if another
process has changed the session, the batch is divided, and each step is run by itself, with the same result.
"""

from collections.abc import Sequence
from typing import Any

from cellar.ports import APPEND, MARK_BYTES, UNMARKED, Change, Changes, Identity, StepChanges, StepCommand, StepResult
from cellar.sessions.requests.request import PendingResult, Request, StepRequest

Outcome = StepResult | BaseException


class PendingBatch(PendingResult[StepResult]):
    """The pending result of a batch; awaited, it gives the last result or the first error."""

    __slots__ = ()  # a class of two bases with slots is not possible, so that its classes have them

    command: StepCommand
    count: int
    """The number of its steps."""
    landed: StepChanges | None
    """The committed change, if the commit has succeeded."""
    _outcomes: Sequence[Outcome]

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The result or the error of each step."""
        if self.landed is not None and not self._outcomes:
            model = self.result().model
            self._outcomes = [self.result_of(change, model) for change in self.landed]  # type: ignore[misc]  # see above
        return self._outcomes

    def land(self, changes: StepChanges, model: str | None) -> None:
        """Answer all steps, which are committed as these changes. `model` is as of `StepResult`."""
        if not self.done():
            self.landed = changes  # type: ignore[misc]  # see above
            size = len(changes.outputs) // len(changes)
            super().finish(StepResult(self.command, changes.after, 1, changes.outputs[-size:], False, model))

    def finish_each(self, outcomes: Sequence[Outcome]) -> None:
        """Give each step its result or its error."""
        if not self.done():
            self._outcomes = outcomes  # type: ignore[misc]  # see above
            failure = next((each for each in outcomes if isinstance(each, BaseException)), None)
            super().finish(failure or outcomes[-1])

    def finish(self, outcome: Outcome) -> None:
        """Give all steps the same error."""
        self.finish_each([outcome] * self.count)

    def result_of(self, change: Change, model: str | None) -> StepResult:
        """Return the result of one of its steps."""
        return StepResult(self.command, change.after, change.steps, change.output, False, model)


class StepBatch(PendingBatch, StepRequest):
    """Single steps (T, rows, in_size) of one session, T at least 1, numbered from the step of the command or appended.

    `marks` are their joined fingerprints if they are numbered, otherwise their joined nonces.
    """

    __slots__ = ("_left", "_outcomes", "_singles", "count", "landed", "marks")

    def __init__(self, command: StepCommand, marks: bytes, began_s: float) -> None:
        mark, inputs = marks[:MARK_BYTES], command.inputs
        is_numbered = command.identity.step is not None
        super().__init__(command, command.identity, mark if is_numbered else UNMARKED, mark, began_s, inputs)
        steps, rows, in_size = inputs.shape
        self.count, self.shape, self.size = steps, (1, rows, in_size), (rows, 1)
        self.marks = marks
        self.landed = None
        self._outcomes = ()
        self._singles: list[StepRequest] = []
        self._left = 0

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
            self.finish_each([single.outcome for single in self._singles])


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
            request.land(changes if request.count == len(changes) else changes[at : at + request.count], model)
        else:
            request.finish_each([request.result_of(change, model) for change in changes[at : at + request.count]])
        at += request.count
