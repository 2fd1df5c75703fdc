"""A stream of steps to one session, over a WebSocket that may break at any point.

Every step has a number of this stream's writer, so the service applies it once however often it is sent. The stream
keeps each step until its answer was handed to the caller.
"""

import json
import os
import uuid

from cellar_client.arrays import frames
from cellar_client.arrays.inputs import Inputs, grouped, is_table
from cellar_client.core.effects import (
    Connect,
    ConnectionLost,
    Disconnect,
    Emission,
    Emit,
    Operation,
    Receive,
    SendMessage,
    StreamClosed,
)
from cellar_client.core.exchange import Patience, call
from cellar_client.documents import WriterDocument
from cellar_client.errors import (
    PREFIX,
    FingerprintMismatch,
    NotReached,
    Problem,
    Refused,
    Regressed,
    Unavailable,
    WriterUnknown,
)
from cellar_client.sessions.rows import Numbers, Reset, Rows
from cellar_client.sessions.sent import session_path
from cellar_client.sessions.stream_queue import StreamQueue
from cellar_client.state_file import StateFile
from cellar_client.values import Answer

REMEMBERED = 1024
"""Answered steps that a stream remembers, to send them again if Redis has lost them."""

WINDOW = 32
"""Steps in flight until the service has said how many there may be."""

NEVER_AGAIN = (1007, 1009)
"""Close codes of messages that the service cannot read: sent again they would be closed again."""

CONFLICT = 409


class StreamCore:
    """Operations on a stream."""

    def __init__(
        self,
        session: str,
        give_up_s: float,
        writer: str | None = None,
        state: str | os.PathLike[str] | None = None,
        remember: int = REMEMBERED,
    ) -> None:
        self.session = session
        self.writer = writer or f"client-{uuid.uuid4().hex[:16]}"
        self.window = WINDOW
        self.queue = StreamQueue(remember)
        self._is_known = writer is not None
        self._file = None if state is None else StateFile(state, "stream", session)
        self._give_up_s = give_up_s
        self._patience = Patience(give_up_s)
        self._connected = False
        self._receiving = False

    @property
    def waiting(self) -> int:
        """Number of inputs whose outcomes the caller does not have."""
        return len(self.queue.ready) + len(self.queue.pending)

    def open(self) -> Operation[None]:
        """Continue from the state file, or behind the last request of this writer that the service knows."""
        queue = self.queue
        found = None if self._file is None else self._file.load()
        if found is not None:
            self.writer = found["writer"]
            queue.unpack(found)
        if found is not None or self._is_known:
            seq = (yield from self._read_writer())["seq"]
            if not queue.pending and seq > queue.acknowledged:
                queue.taken += seq - queue.acknowledged
                queue.acknowledged, queue.delivered = seq, queue.taken
        self._save()

    def step(self, inputs: Inputs, reset: Reset = False, *, rows: Numbers | None = None) -> Operation[Answer]:
        """Apply one step, (F) or (B, F), and return its answer. Raise Problem; a refused step is left out.

        `reset` and `rows` are those of `Session.step`. No other answers may be waited for: use `send` and `receive` to
        have several steps in progress.
        """
        if self.waiting:
            raise ValueError(f"{self.waiting} answers were not received yet")
        yield from self.send(inputs, reset, rows=rows)
        return (yield from self.receive())

    def send(self, inputs: Inputs, reset: Reset = False, *, rows: Numbers | None = None) -> Operation[None]:
        """Send one step, and return before it is answered. Waits while as many are in flight as there may be."""
        yield from self._send(inputs, Rows.of(reset, rows), sequence=False)

    def send_sequence(
        self,
        inputs: Inputs,
        reset: Reset = False,
        *,
        rows: Numbers | None = None,
        lengths: Numbers | None = None,
    ) -> Operation[None]:
        """Send several steps that are applied together or not at all, (T, F) or (T, B, F). They have one answer.

        `reset`, `rows` and `lengths` are those of `Session.sequence`.
        """
        yield from self._send(inputs, Rows.of(reset, rows, lengths), sequence=True)

    def receive(self) -> Operation[Answer]:
        """Return the next answer, in the order of the inputs. Raise the Problem of an input that was refused.

        A refused input is left out, and the stream can be used further.
        """
        while not self.queue.ready:
            yield from self._exchange()
        outcome = self.queue.hand_over()
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    def run(self, inputs: Inputs, ahead: int | None = None, chunk: int | None = None) -> Emission[Answer]:
        """Apply inputs as steps, and yield their answers in order; first those of earlier inputs.

        `ahead` is how many steps may be in flight. The default is as many as the service allows for arrays, lists and
        tables, which are at hand, and for asynchronous iterators; it is 1 for other iterators, which may wait for each
        of their inputs. With `chunk`, the steps are sent as sequences of that many, and each has one answer with the
        outputs of all its steps. However long the inputs are, only the steps in flight are kept in memory.
        """
        most = self.most_ahead(inputs, ahead)
        values = inputs.to_numpy() if is_table(inputs) else inputs
        while self.waiting >= most:
            yield Emit((yield from self.receive()))
        for one in values if chunk is None else grouped(values, chunk):
            self.queue.push(one, sequence=chunk is not None)
            if self.waiting < most:
                continue
            yield from self.flush()
            while self.waiting > most // 2:
                yield Emit((yield from self.receive()))
        while self.waiting:
            yield Emit((yield from self.receive()))

    def most_ahead(self, inputs: Inputs, ahead: int | None) -> int:
        """Return how many steps of inputs may be in flight."""
        at_hand = hasattr(inputs, "__len__") or hasattr(inputs, "__aiter__")
        return min(ahead or (self.window if at_hand else 1), self.window)

    def flush(self) -> Operation[None]:
        """Send what was not sent, as far as the window allows; connect first if needed. Raise Problem."""
        if len(self.queue.pending) == self.queue.sent:
            return
        self._save()
        if self._receiving and not self._connected:
            return  # another task connects, and sends all
        try:
            yield from self._send_all()
        except ConnectionLost:
            self._lose_connection()  # the next one that receives connects again

    def drain(self) -> Operation[None]:
        """Wait for the answers to all inputs."""
        while self.waiting:
            yield from self.receive()

    def close(self) -> Operation[None]:
        """Close the connection. Inputs without an answer stay in the state file, if there is one."""
        self._save()
        self._lose_connection()
        yield Disconnect()

    def _send(self, inputs: Inputs, rows: Rows, *, sequence: bool) -> Operation[None]:
        while len(self.queue.pending) >= self.window:
            yield from self._exchange()
        self.queue.push(inputs, rows, sequence=sequence)
        yield from self.flush()

    def _exchange(self) -> Operation[None]:
        """Send what is there to be sent, and take the next message. Raise Problem."""
        self._receiving = True
        try:
            if self.queue.trouble is not None and not self.queue.in_flight:
                yield from self._settle(self.queue.trouble)
                return
            yield from self._send_all()
            message = yield Receive()
            if isinstance(message, bytes):
                self.queue.take(frames.unpack(message))
                if self.queue.trouble is None:
                    self._patience.restart()
        except ConnectionLost as error:
            self._lose_connection()
            if self.queue.trouble is None:
                yield from self._wait_to_connect(error)
        finally:
            self._receiving = False

    def _send_all(self) -> Operation[None]:
        if not self._connected:
            yield Connect(session_path(self.session, "stream"))
            self.window = json.loads((yield Receive()))["window"]
            self._connected = True
        if len(self.queue.pending) > self.queue.sent:
            entries = self.queue.next_to_send(self.window)
            for records in frames.split(entry.record(self.writer) for entry in entries):
                yield SendMessage(frames.pack(records))

    def _settle(self, problem: Problem) -> Operation[None]:
        """Do what the error of the first pending step asks for. All steps behind it were not applied either."""
        if isinstance(problem, Unavailable | NotReached):
            yield self._patience.pause(problem, problem.retry_after_s)
            self.queue.retry()
        elif isinstance(problem, Refused) and not isinstance(problem, FingerprintMismatch):
            self.queue.drop_refused()
        elif isinstance(problem, Regressed | WriterUnknown):
            yield from self._send_lost_again(problem)
        else:
            raise self._given_up(problem)
        self._save()

    def _send_lost_again(self, problem: Problem) -> Operation[None]:
        """Go back to the last request of this writer that the service knows. Raise the problem if that is too far."""
        found = yield from self._read_writer()
        if found["seq"] == 0 and not _is_before(found["position"], self.queue.position):
            raise self._given_up(problem)  # the writer was forgotten, and its requests may have been applied
        if not self.queue.rewind(found["seq"]):
            raise self._given_up(problem)
        self._lose_connection()  # the service closes it after this error

    def _given_up(self, problem: Problem) -> Problem:
        """Return the problem, after which the next call tries the same steps again."""
        self.queue.retry()
        self._lose_connection()
        return problem

    def _wait_to_connect(self, error: ConnectionLost) -> Operation[None]:
        """Pause after a lost connection. Raise Problem if the service has closed it for good."""
        if isinstance(error, StreamClosed):
            status = error.code - 4000
            if 400 <= status < 500 and status != CONFLICT:  # a conflict is in the answer to a step that is sent again
                name, _, detail = error.reason.partition(":")
                raise Problem.of({"type": PREFIX + name.strip(), "status": status, "detail": detail.strip()})
            if error.code in NEVER_AGAIN:
                raise Problem.of({"type": PREFIX + "malformed_body", "status": 400, "detail": error.reason})
        yield self._patience.pause(error)

    def _read_writer(self) -> Operation[WriterDocument]:
        path = session_path(self.session, "writers", self.writer)
        found: WriterDocument = yield from call("GET", path, give_up_s=self._give_up_s)
        return found

    def _lose_connection(self) -> None:
        self._connected = False
        self.queue.lose_connection()

    def _save(self) -> None:
        if self._file is not None:
            self._file.save({"writer": self.writer, **self.queue.pack()})


def _is_before(position: str, other: str) -> bool:
    """Return whether a position is of the same epoch as another one, and has fewer steps."""
    if not other:
        return False
    (epoch, step, _), (other_epoch, other_step, _) = position.split("."), other.split(".")
    return epoch == other_epoch and int(step) < int(other_step)
