"""The steps of a stream between the caller and the service: a state machine without input and output.

    push             take             hand over
    -----> pending -----> ready -----------> caller
              ^             |
              +-- rewind ---+  steps that the service has lost

The first `sent` pending steps are in flight on the present connection. The service answers them in order. If one fails,
those behind it on the connection are answered `not_reached`; when all are answered, `settle` decides what is done.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from cellar_client.arrays import frames
from cellar_client.arrays.inputs import Floats, Inputs, as_floats
from cellar_client.errors import CellarError, Problem, ReplayExpired
from cellar_client.sessions.rows import ALL, Rows
from cellar_client.state_file import pack_array, unpack_array
from cellar_client.values import Answer

TAGS = 2**32


@dataclass(slots=True, eq=False)
class Entry:
    """An input as (T, B, F), its number among the inputs of the stream, and the writer's number of its request.

    The two numbers differ by the inputs that were refused before it.
    """

    number: int
    seq: int
    inputs: Floats
    sequence: bool
    single_row: bool
    """Whether the axis B is left out of the output, as it was of the input."""
    rows: Rows = ALL

    def record(self, writer: str) -> frames.Step:
        """Return it as a record of a frame."""
        rows = () if self.rows is ALL else self.rows.parts(*self.inputs.shape[:2])
        return frames.Step(self.seq % TAGS, self.inputs, self.sequence, "", None, writer, self.seq, *rows)

    def answer(self, found: frames.StepAnswer) -> Answer:
        """Return its answer, with the axes of the input."""
        output = found.outputs
        if output is not None:
            output = output[:, 0] if self.single_row else output
            output = output if self.sequence else output[0]
        return Answer(output, found.step, found.position, found.replayed, self.number, found.version)

    def pack(self) -> dict[str, Any]:
        """Return it as JSON."""
        flags = {"sequence": self.sequence, "single_row": self.single_row, **self.rows.members()}
        return {"number": self.number, "seq": self.seq, "inputs": pack_array(self.inputs), **flags}

    @staticmethod
    def unpack(document: dict[str, Any]) -> "Entry":
        """Return the entry of a JSON document."""
        rows = Rows.of(document.get("reset", False), document.get("rows"), document.get("lengths"))
        inputs = unpack_array(document["inputs"])
        flags = document["sequence"], document["single_row"]
        return Entry(document["number"], document["seq"], inputs, *flags, rows)


class StreamQueue:
    """The steps that were handed over and whose answers the caller does not have, and those that were answered last."""

    def __init__(self, remember: int) -> None:
        self.taken = 0
        """Number of inputs that were handed over."""
        self.delivered = 0
        """Number of the last input whose outcome the caller has."""
        self.acknowledged = 0
        """The writer's number of the last request that was applied, as far as is known."""
        self.position = ""
        """Position in the last answer."""
        self.ready: deque[tuple[Entry, Answer | Problem]] = deque()
        self.pending: deque[Entry] = deque()
        self.sent = 0
        self.failed = 0
        """Number of pending steps at the front that were answered with an error."""
        self.trouble: Problem | None = None
        """The error of the first pending step, if it was not applied."""
        self._answered: deque[Entry] = deque(maxlen=remember)

    @property
    def in_flight(self) -> int:
        """Number of steps that were sent on this connection and not answered on it."""
        return self.sent - self.failed

    def push(self, inputs: Inputs, rows: Rows = ALL, *, sequence: bool = False) -> None:
        """Take an input: (F) or (B, F), or as a sequence (T, F) or (T, B, F)."""
        array = as_floats(inputs)
        single_row = array.ndim < (3 if sequence else 2)
        if single_row:
            array = array.reshape((len(array), 1, -1) if sequence else (1, 1, -1))
        elif not sequence:
            array = array[None]
        self.taken += 1
        seq = (self.pending[-1].seq if self.pending else self.acknowledged) + 1
        self.pending.append(Entry(self.taken, seq, array, sequence, single_row, rows))

    def next_to_send(self, window: int) -> list[Entry]:
        """Return the steps that may be sent now, and count them as sent."""
        if self.trouble is not None:
            return []
        entries = [self.pending[at] for at in range(self.sent, min(window, len(self.pending)))]
        self.sent += len(entries)
        return entries

    def lose_connection(self) -> None:
        """Count no step as sent any more."""
        self.sent = self.failed = 0

    def take(self, answers: Iterable[frames.StepAnswer]) -> None:
        """Take answers in the order of the steps. Raise Problem if the service could not read what was sent."""
        for answer in answers:
            problem = None if answer.problem is None else Problem.of(answer.problem)
            if answer.tag < 0 and problem is not None:
                raise problem
            if self.sent <= self.failed or answer.tag != self.pending[self.failed].seq % TAGS:
                raise CellarError("the service has answered a step that was not sent")
            if problem is None:
                self._finish(self.pending[0].answer(answer))
            elif isinstance(problem, ReplayExpired) and self.trouble is None:
                self._finish(Answer(None, 0, "", replayed=True, number=self.pending[0].number))
            else:
                self.trouble = self.trouble or problem
                self.failed += 1

    def hand_over(self) -> Answer | Problem:
        """Return the next outcome."""
        entry, outcome = self.ready.popleft()
        self.delivered = entry.number
        return outcome

    def retry(self) -> None:
        """Send the steps again that were not applied."""
        self.trouble = None
        self.sent = self.failed = 0

    def drop_refused(self) -> None:
        """Make the error of the first step its outcome, and give its number to the step behind it, and so on."""
        assert self.trouble is not None
        refused = self.pending.popleft()
        self.ready.append((refused, self.trouble))
        self.pending = deque(replace(entry, seq=entry.seq - 1) for entry in self.pending)
        self.retry()

    def rewind(self, seq: int) -> bool:
        """Take back the answered steps behind a number, which the service has lost. Return whether all are there."""
        lost = [entry for entry in self._answered if entry.seq > seq]
        first = [*lost, *self.pending][0].seq
        if first > seq + 1:
            return False
        for _ in lost:
            self._answered.pop()
        self.pending.extendleft(reversed(lost))
        self.acknowledged = min(self.acknowledged, seq)
        self.retry()
        return True

    def pack(self) -> dict[str, Any]:
        """Return the data that are needed to continue, as JSON."""
        answered = {entry.number: entry for entry, outcome in self.ready if isinstance(outcome, Answer)}
        kept = (answered | {entry.number: entry for entry in self.pending}).values()
        numbers = {"taken": self.taken, "delivered": self.delivered, "acknowledged": self.acknowledged}
        return {**numbers, "kept": [entry.pack() for entry in kept]}

    def unpack(self, document: dict[str, Any]) -> None:
        """Continue from a JSON document: all steps whose outcomes the caller does not have are sent again."""
        self.pending = deque(Entry.unpack(entry) for entry in document["kept"])
        self.taken, self.delivered = document["taken"], document["delivered"]
        self.acknowledged = self.pending[0].seq - 1 if self.pending else document["acknowledged"]

    def _finish(self, answer: Answer) -> None:
        """Store the answer to the first pending step. A step that was sent again after a loss is answered once."""
        entry = self.pending.popleft()
        self.sent -= 1
        self.acknowledged, self.position = entry.seq, answer.position or self.position
        self._answered.append(entry)
        last = self.ready[-1][0].number if self.ready else self.delivered
        if entry.number > last:
            self.ready.append((entry, answer))
