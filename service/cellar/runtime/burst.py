"""Steps of one session that came together, each a request of its own: they go as one for as long as all goes well.

A step that is queued, run, packed and answered by itself costs twenty microseconds, most of it for handing it on. Of
those in a burst everything happens once. What happens to few of them, a conflict, a lost race, a number that is not
finite, takes the burst apart: then each goes the way that it would have gone alone, to the same answer.
"""

from collections.abc import Sequence

from cellar.ports import APPEND, Committed, Identity, SessionKey
from cellar.runtime.answers import Floats
from cellar.runtime.request import Request

Outcome = Committed | BaseException


class Burst(Request):
    """Single steps (T, rows, in_size) of one session, T at least 1. They are numbered from `first`, or append."""

    __slots__ = ("_left", "_singles", "marks", "nonces", "outcomes")

    def __init__(
        self,
        key: SessionKey,
        first: int | None,
        marks: Sequence[bytes],
        nonces: Sequence[bytes],
        began_s: float,
        inputs: Floats,
    ) -> None:
        identity = APPEND if first is None else Identity(step=first)
        super().__init__(key, "step", identity, marks[0], nonces[0], began_s, inputs)
        self.count, self.shape = len(inputs), (1, *inputs.shape[1:])
        self.marks = marks
        """A fingerprint for each."""
        self.nonces = nonces
        self.outcomes: Sequence[Outcome] = ()
        """Of each, once it has come. To await a burst gives the last of them, or the first error."""
        self._singles: list[Request] = []
        self._left = 0

    def singles(self) -> list[Request]:
        """Take it apart: return its steps, which end it once all of them have ended."""
        self._left = self.count
        before, first = self.after, self.identity.step
        for index in range(self.count):
            single = Request(
                self.key,
                "step",
                APPEND if first is None else Identity(step=first + index),
                self.marks[index],
                self.nonces[index],
                self.began_s,
                self.inputs[index : index + 1] if self.inputs is not None else None,
            )
            single.taken_s, single.tried_s = self.taken_s, self.tried_s
            single.after = before
            single.when_done(self._hear)
            before = None if first is None else single
            self._singles.append(single)
        return self._singles

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Give each step its answer, or what went wrong with it."""
        if not self.done():
            self.outcomes = outcomes
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
