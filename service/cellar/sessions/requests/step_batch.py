"""Steps of one session that came together, each a request of its own: they go as one for as long as all goes well.

A step that is queued, run, packed and answered by itself costs twenty microseconds, most of it for handing it on. Of
those in a burst everything happens once. What happens to few of them, a conflict, a lost race, a number that is not
finite, takes the burst apart: then each goes the way that it would have gone alone, to the same answer.
"""

from collections.abc import Sequence

from cellar.ports import APPEND, MARK_BYTES, UNMARKED, Change, Changes, Committed, Identity, SessionKey, StepChanges
from cellar.sessions.requests.request import Request
from cellar.sessions.values.results import Floats

Outcome = Committed | BaseException


class StepBatch(Request):
    """Single steps (T, rows, in_size) of one session, T at least 1. They are numbered from `first`, or append.

    `marks` are their fingerprints if they are numbered, else their nonces, side by side.
    """

    __slots__ = ("_left", "_outcomes", "_singles", "landed", "marks")

    def __init__(self, key: SessionKey, first: int | None, marks: bytes, began_s: float, inputs: Floats) -> None:
        identity = APPEND if first is None else Identity(step=first)
        mark = marks[:MARK_BYTES]
        super().__init__(key, "step", identity, UNMARKED if first is None else mark, mark, began_s, inputs)
        self.count, self.shape = len(inputs), (1, *inputs.shape[1:])
        self.marks = marks
        self.landed: StepChanges | None = None
        """What has been committed, if all went well."""
        self._outcomes: Sequence[Outcome] = ()
        self._singles: list[Request] = []
        self._left = 0

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """What came of each step, once it has come. To await a burst gives the last of them, or the first error."""
        if self.landed is not None and not self._outcomes:
            self._outcomes = [*map(_answer, self.landed)]
        return self._outcomes

    def singles(self) -> list[Request]:
        """Take it apart: return its steps, which end it once all of them have ended.

        If it has ended by now nobody waits for them either.
        """
        assert self.inputs is not None
        self._left = self.count
        before, first = self.after, self.identity.step
        for index in range(self.count):
            mark = self.marks[MARK_BYTES * index : MARK_BYTES * (index + 1)]
            identity, fingerprint = (APPEND, UNMARKED) if first is None else (Identity(step=first + index), mark)
            inputs = self.inputs[index : index + 1]
            single = Request(self.key, "step", identity, fingerprint, mark, self.began_s, inputs)
            single.taken_s, single.tried_s = self.taken_s, self.tried_s
            single.after, single.until_s, single.model = before, self.until_s, self.model
            single.when_done(self._hear)
            before = None if first is None else single
            self._singles.append(single)
            if self.done():
                single.cancel()
        return self._singles

    def land(self, changes: StepChanges) -> None:
        """Note that all of them are committed, as these changes."""
        if not self.done():
            self.landed = changes
            size = len(changes.outputs) // len(changes)
            super().settle(Committed(changes.after, 1, changes.outputs[-size:], False))

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Give each step its answer, or what went wrong with it."""
        if not self.done():
            self._outcomes = outcomes
            failure = next((each for each in outcomes if isinstance(each, BaseException)), None)
            super().settle(failure or outcomes[-1])

    def settle(self, outcome: Outcome) -> None:
        """Give all steps the same error."""
        self.end([outcome] * self.count)

    def give_up(self, error: BaseException) -> None:
        """End it like this, with all of its steps that have not ended."""
        for single in self._singles:
            single.give_up(error)
        super().give_up(error)

    def _hear(self, _: Request) -> None:
        self._left -= 1
        if not self._left:
            self.end([single.outcome for single in self._singles])


def answer(requests: Sequence[Request], changes: Changes) -> None:
    """Tell requests that they are committed: these changes are theirs, in their order."""
    if len(changes) == 1 and len(requests) == 1:  # nearly always
        return requests[0].settle(_answer(changes[0]))
    answers = () if isinstance(changes, StepChanges) else [*map(_answer, changes)]
    at = 0
    for request in requests:
        end = at + request.count
        if not isinstance(request, StepBatch):
            request.settle(answers[at])
        elif isinstance(changes, StepChanges):
            request.land(changes if request.count == len(changes) else changes[at:end])
        else:
            request.end(answers[at:end])
        at = end
    return None


def _answer(change: Change) -> Committed:
    return Committed(change.after, change.steps, change.output, False)
