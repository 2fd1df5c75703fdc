"""One session stepped by one client: each request carries the position of the last answer, and is applied once."""

import os
import uuid
from collections import deque
from dataclasses import replace
from typing import Any, Self

from cellar_client.arrays.inputs import Inputs, as_array, as_floats, as_readings, same_kind
from cellar_client.core.effects import Emission, Operation
from cellar_client.core.exchange import call, exchange
from cellar_client.documents import SessionDocument
from cellar_client.errors import Problem, Regressed, ReplayExpired
from cellar_client.sessions.events import watch
from cellar_client.sessions.long_sequence import apply_long_sequence
from cellar_client.sessions.operations import SessionOperations
from cellar_client.sessions.rows import ALL, Numbers, Reset, Rows
from cellar_client.sessions.sent import Sent, session_path
from cellar_client.state_file import StateFile, pack_array, unpack_array
from cellar_client.values import Answer, Event

REMEMBERED = 1024
"""Requests that a session remembers, to send them again if Redis has lost them."""


def open_session(
    name: str | None, options: dict[str, Any], give_up_s: float, state: str | os.PathLike[str] | None
) -> Operation["SessionCore"]:
    """Return a session that exists, or a new one with options, continued from its state file."""
    if "model" in options:
        body = {"session": name or uuid.uuid4().hex, **options}
        document = yield from call("POST", "/v1/sessions", body, give_up_s=give_up_s)
    elif name is None or options:
        raise ValueError("a new session needs a model")
    else:
        document = yield from call("GET", session_path(name), give_up_s=give_up_s)
    core = SessionCore(document, give_up_s, state)
    yield from core.recover()
    return core


class SessionCore(SessionOperations):
    """A session, its position, and the requests that were sent last."""

    def __init__(
        self, document: SessionDocument, give_up_s: float, state: str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(document, give_up_s)
        self.count = 0
        self.recovered: Answer | None = None
        self._sent: deque[Sent] = deque(maxlen=REMEMBERED)
        self._file = None if state is None else StateFile(state, "session", self.name)

    def child(self, document: SessionDocument) -> Self:
        """Return another session that is used in the same way, without a state file."""
        return type(self)(document, self.give_up_s)

    def moved(self, position: str) -> None:
        """Continue at a position to which something else than a step has led."""
        if position != self.position:
            self._sent.clear()
            self.position = position
            self._save(None)

    def recover(self) -> Operation[None]:
        """Read the state file, and send the request again that may not have been answered."""
        found = None if self._file is None else self._file.load()
        if found is None:
            return
        self.count, pending = found["count"], found["pending"]
        if pending is None:
            return
        if "inputs" not in pending:  # a long sequence, which the caller has
            self.position = found["position"]
            return
        packed = pending["inputs"]
        inputs = packed["readings"] if "readings" in packed else unpack_array(packed)
        rows = Rows.of(pending.get("reset", False), pending.get("rows"), pending.get("lengths"))
        score = pending.get("score", False)
        entry = Sent(inputs, pending["sequence"], rows, found["position"], self.count + 1, score)
        try:
            self.recovered = yield from self.finish(entry)
        except ReplayExpired as problem:  # it was applied, and others have stepped the session since
            self.recovered = self.note(entry, Answer(None, 0, problem.position or "", True, entry.number))

    def begin(self, inputs: Inputs, rows: Rows = ALL, *, sequence: bool = False, score: bool = False) -> Sent:
        """Return a request as the next one, after it was written to the state file."""
        array: Any = as_readings(inputs)
        if array is None:
            array = as_floats(inputs)
            if array.ndim == sequence:  # numbers of a model with one input
                array = array.reshape(-1, 1) if sequence else array.reshape(1)
        entry = Sent(array, sequence, rows, self.position, self.count + 1, score)
        self._save(entry)
        return entry

    def finish(self, entry: Sent) -> Operation[Answer]:
        """Send a request until it is answered, and before it those that Redis has lost. Raise Problem."""
        waiting = deque([entry])
        while True:
            try:
                reply = yield from exchange(waiting[0].request(self.path), self.give_up_s)
            except Regressed as problem:
                lost = self._since(problem.position, waiting[0])
                if not lost:
                    raise
                waiting.extendleft(reversed(lost))
                continue
            answer = waiting.popleft().answer(reply)
            if not waiting:
                return self.note(entry, answer)

    def note(self, entry: Sent, answer: Answer) -> Answer:
        """Note the answer to the request that `begin` has returned."""
        self._sent.append(entry)
        self.position, self.count = answer.position, entry.number
        return answer

    def step(
        self, inputs: Inputs, reset: Reset = False, *, rows: Numbers | None = None, score: bool = False
    ) -> Operation[Answer]:
        """Apply one step, (F) or (B, F), and return its answer.

        A step of a model with readings may be a dictionary by the names of columns, or one for each row: None and NaN
        are missing readings, and times may be datetimes.

        `reset` puts rows into the initial state before it: all, or a boolean for each. `rows` are the numbers of those
        that the inputs have; the others take no part in the step. With `score` the answer says how surprising the
        readings were, if the model forecasts them.
        """
        return (yield from self.finish(self.begin(inputs, Rows.of(reset, rows), score=score)))

    def sequence(
        self,
        inputs: Inputs,
        reset: Reset = False,
        *,
        rows: Numbers | None = None,
        lengths: Numbers | None = None,
        score: bool = False,
    ) -> Operation[Answer]:
        """Apply several steps, (T, F) or (T, B, F), all or none. A table with a row for each step gives a table.

        `reset` puts rows into the initial state before the first step, or with (T, B) booleans before any step. `rows`
        are the numbers of those that the inputs have, and `lengths` how many steps each of them has; outputs of a row
        behind its last step are NaN. `score` is as of `step`.
        """
        entry = self.begin(inputs, Rows.of(reset, rows, lengths), sequence=True, score=score)
        answer = yield from self.finish(entry)
        return replace(answer, output=same_kind(inputs, answer.output))

    def long_sequence(self, inputs: Inputs, *, commit: str = "chunk", reset: Reset = False) -> Operation[Answer]:
        """Apply a sequence of any length, (T, F) or (T, B, F), in one request, and return the output of its last step.

        An array that is mapped to a file, `numpy.load(path, mmap_mode="r")`, is read part by part. With `commit="all"`
        all steps are applied or none; with `"chunk"`, chunks before a fault may have been applied, and the session
        continues behind them. After a crash of this process, open the session with its state file and call this again:
        steps that were applied are skipped.
        """
        array = as_array(inputs)
        sent = Sent(array, True, Rows.of(reset), self.position, self.count + 1)
        self._save(sent, {})
        try:
            answer = yield from apply_long_sequence(self.path, sent, commit, self.give_up_s)
        except Problem as problem:
            self.moved(problem.position or self.position)
            raise
        self._sent.clear()  # it cannot be sent again
        self.position, self.count = answer.position, sent.number
        return answer

    def events(self, *, kept: bool = False, after: str | None = None) -> Emission[Event]:
        """Yield the changes of the session as they happen, until it ends. It must have been created with `events`.

        `kept` begins with the events that are kept, and `after` behind the one with this `id`. A lost connection is
        opened again, behind the last event; the event `gap` stands for changes that are missing.
        """
        return watch(self.path, kept=kept, after=after, give_up_s=self.give_up_s)

    def _since(self, position: str | None, failed: Sent) -> list[Sent]:
        """Return the remembered requests from a position up to one that failed; none if they do not reach back."""
        sent = [*self._sent, failed]
        first = next((at for at, one in enumerate(sent) if one.before == position), len(sent))
        end = next(at for at, one in enumerate(sent) if one.before == failed.before)
        return sent[first:end]

    def _save(self, entry: Sent | None, pending: dict[str, Any] | None = None) -> None:
        if self._file is None:
            return
        if entry is not None and pending is None:
            inputs = entry.inputs
            packed = pack_array(inputs) if hasattr(inputs, "dtype") else {"readings": inputs}
            pending = {"inputs": packed, "sequence": entry.sequence, **entry.rows.members()}
            pending |= {"score": True} if entry.score else {}
        self._file.save({"count": self.count, "position": self.position, "pending": pending})
