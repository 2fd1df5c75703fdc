"""A request to change a session, from its submission to its answer, and the pending result that callers await."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from cellar.errors import DeadlineExceeded, NotReached
from cellar.ports import Floats, Identity, Position, RowFlags, SessionKey, StepCommand, StepResult, split_scores
from cellar.sessions.requests.admission import NO_SIZE, Admission, ModelQueue, Size
from cellar.sessions.requests.request_state import ANSWERED, DISPATCHED, WAITING, IllegalTransition, RequestState
from cellar.sessions.requests.waiting import wait_for
from cellar.sessions.values.model_protocol import Scorer
from cellar.sessions.values.position import Kind
from cellar.sessions.values.row_flags import flags_of, place_rows

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class PendingResult(Generic[Result]):
    """The pending result of a request. Awaiting it returns the result or raises the error.

    Transports use a callback, which needs no future, no task and no turn of the event loop: it is called while the
    results of a commit are read.
    """

    __slots__ = ("_calls", "_outcome", "state")

    def __init__(self) -> None:
        self._outcome: Result | BaseException | None = None
        self._calls: tuple[Callable[[Any], object], ...] = ()
        self.state = WAITING

    def __await__(self) -> Generator[Any, None, Result]:
        """Wait for the result. A task that is cancelled meanwhile cancels the request."""
        return wait_for(self).__await__()

    def result(self) -> Result:
        """Return the result, which must be known, or raise the error."""
        outcome = self._outcome
        assert outcome is not None, "it has not come yet"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def when_done(self, call: Callable[[Any], object]) -> None:
        """Call `call` with this object once the result or the error is known; if it is known, in the next turn.

        The results of a commit are reported one after the other, so the call should be short. It may submit requests.
        """
        if self._outcome is None:
            self._calls = (*self._calls, call)
        else:
            asyncio.get_running_loop().call_soon(call, self)

    def done(self) -> bool:
        """Return whether the result or the error is known."""
        return self._outcome is not None

    @property
    def failed(self) -> bool:
        """Whether the request has failed."""
        return isinstance(self._outcome, BaseException)

    @property
    def outcome(self) -> Result | BaseException:
        """The result or the error."""
        assert self._outcome is not None, "it has not come yet"
        return self._outcome

    def finish(self, outcome: Result | BaseException) -> None:
        """Set the result or the error, and call the callbacks. Only the first call has an effect."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        self.state = ANSWERED
        calls, self._calls = self._calls, ()
        for call in calls:
            try:
                call(self)
            except Exception:  # a fault of one transport; the other requests of the commit must be answered
                logger.exception("an answer was not taken")

    def cancel(self) -> None:
        """End it with CancelledError, because the client has disconnected."""
        self.finish(asyncio.CancelledError())


PendingSteps = PendingResult[StepResult]
"""The pending result of steps, for which transports wait."""


class Request(PendingResult[Result], ABC):
    """A request to change a session. Cancelling one has no effect on others."""

    __slots__ = (
        *("began_s", "fingerprint", "identity", "key", "kind", "nonce"),
        *("wanted_pause_s", "leave", "lost", "model", "predecessor", "taken_s", "tried_s", "turn", "until_s"),
    )

    count = 1
    """The number of requests in it: 1, or more for a batch."""
    size: Size
    """The rows and steps of each of them; NO_SIZE if it is no step."""
    any_revision = False
    """Whether it may run on a session that is pinned to another kernel revision."""
    any_model = False
    """Whether it may run on a session whose model was deleted, of which only the sizes are known then."""

    def __init__(
        self, key: SessionKey, kind: Kind, identity: Identity, fingerprint: bytes, nonce: bytes, began_s: float
    ) -> None:
        self._outcome = None  # as PendingResult does it: each step saves a call
        self._calls = ()
        self.state = WAITING
        self.key = key
        self.kind = kind
        self.identity = identity
        self.fingerprint = fingerprint
        self.nonce = nonce
        self.began_s = began_s
        """When it came, by the monotonic clock."""
        self.until_s: float | None = None
        """When its time is over, by the monotonic clock; None if it may take any time."""
        self.model: ModelQueue | None = None
        """The queue of its model, if it is counted there because of a long kernel call."""
        self.turn: list[None] | None = None
        """Has one item, which the deadline and the kernel thread both try to remove: the deadline then ends the
        request, the thread runs it. None if it has no deadline, or was begun."""
        self.leave: Callable[[Request[Any]], None] | None = None
        """Removes it from the queue in which it waits; None once it was begun."""
        self.predecessor: PendingResult[Any] | None = None
        """An earlier request of the session that must succeed before this one is run."""
        self.taken_s = self.tried_s = 0.0
        """When it was dispatched for the first and for the last time, by the monotonic clock."""
        self.lost = 0
        """The number of its commits that failed because another process had changed the session."""
        self.wanted_pause_s = 0.0
        """The pause that other processes are asked for if its commit fails again, seconds."""

    @abstractmethod
    def succeed(
        self, position: Position, steps: int, output: bytes | None, replayed: bool, model: str | None = None
    ) -> None:
        """Answer the request: its change is committed, `steps` of them, after which the session is at `position`.

        `model` is the version that ran it, if the session follows an alias.
        """

    def move_to(self, state: RequestState) -> None:
        """Set the state, which must be one that may follow. An answered request stays answered."""
        if state in self.state.following:
            self.state = state
        elif self.state is not ANSWERED:
            raise IllegalTransition(f"a request that was {self.state.name} cannot be {state.name}")

    def enter(self, admission: Admission, queue: ModelQueue | None) -> None:
        """Count the request as waiting, with the queue of its model if it is known. Raise Overloaded."""
        now_s = self.began_s
        left_s = None if self.until_s is None else self.until_s - now_s
        if queue is None or self.size == NO_SIZE:
            self.model = admission.enter(now_s, self.count, left_s=left_s)
        else:
            self.model = admission.enter(now_s, self.count, queue, self.size, left_s)

    def enter_model(self, admission: Admission, queue: ModelQueue) -> None:
        """Count the request with its model, which was not known when it came. Raise Overloaded."""
        if self.model is None:
            left_s = None if self.until_s is None else self.until_s - self.tried_s
            self.model = admission.move(self.tried_s, self.count, queue, self.size, left_s)

    def leave_admission(self, admission: Admission) -> None:
        """Stop counting the request as waiting."""
        if self.model is None:  # nearly always
            admission.leave(self.count)
        else:
            admission.leave(self.count, self.model, self.size)

    def is_over(self) -> bool:
        """Return whether it has ended: by a cancellation, its deadline, or a failure of the request before it."""
        predecessor = self.predecessor
        if predecessor is not None and predecessor.done():
            if predecessor.failed:
                self.finish(NotReached("the request before this one has failed"))
            self.predecessor = None  # one at a time is enough to remember
        return self.done()

    def begin(self, time_s: float) -> None:
        """Dispatch the request, which was removed from the queue of its session."""
        self.move_to(DISPATCHED)
        self.tried_s = time_s
        self.taken_s = self.taken_s or time_s
        self.leave = None

    def end_after(self, left_s: float, deadline_s: float) -> None:
        """End the request with DeadlineExceeded if its kernel has not begun after `left_s`, the rest of its time."""
        self.turn = [None]
        deadline = asyncio.get_running_loop().call_later(left_s, self._is_late, deadline_s)
        self.when_done(lambda _: deadline.cancel())

    def end_if_late(self, end_s: float) -> None:
        """End the request if its time is over before then, which is when its call would end."""
        if self.until_s is not None and self.until_s < end_s and not self.done():
            self.give_up(DeadlineExceeded("the request would have been answered after its time"))

    def starts(self) -> bool:
        """Return whether the kernel may run it, and end its deadline. Called on the thread of the kernel."""
        if self._outcome is not None:
            return False
        turn = self.turn
        if turn is not None:
            try:
                turn.pop()
            except IndexError:  # the deadline has it
                return False
            self.turn = None
        return True

    def _is_late(self, deadline_s: float) -> None:
        turn = self.turn
        if turn:
            try:
                turn.pop()
            except IndexError:  # the kernel has begun just now
                return
            self.give_up(too_late(deadline_s))

    def give_up(self, error: BaseException) -> None:
        """End the request with an error, unless it has ended, and remove it from the queue in which it waits."""
        self.finish(error)
        if self.leave is not None:
            self.leave(self)
            self.leave = None

    def cancel(self) -> None:
        """End it with CancelledError, because the client has disconnected."""
        if not self.done():
            self.give_up(asyncio.CancelledError())


class StepRequest(Request[StepResult]):
    """A request for steps."""

    __slots__ = ("command", "flags", "inputs", "scorer", "shape", "size")

    def __init__(
        self,
        command: StepCommand,
        identity: Identity,
        fingerprint: bytes,
        nonce: bytes,
        began_s: float,
        inputs: Floats,
        flags: RowFlags | None = None,
    ) -> None:
        kind: Kind = "sequence" if command.kind == "sequence" else "step"
        super().__init__(command.session, kind, identity, fingerprint, nonce, began_s)
        self.command = command
        self.inputs = inputs
        """(T, rows, in_size): those of the command, or of one step of its batch."""
        self.flags = flags
        """Rows that are reset or left out; None if there are none."""
        self.scorer: Scorer | None = None
        """Scores its readings; None if no scores were asked for, or the model is not known yet."""
        steps, rows, _ = self.shape = inputs.shape
        self.size = (rows, steps)

    def succeed(
        self, position: Position, steps: int, output: bytes | None, replayed: bool, model: str | None = None
    ) -> None:
        """Answer the steps."""
        scores = None
        if output is not None and len(output) & 3:
            output, scores = split_scores(output)
        if self.command.rows is not None and output is not None:
            output = self._of_numbered_rows(output, steps)
            scores = None if scores is None else self._of_numbered_rows(scores, steps)
        self.finish(StepResult(self.command, position, steps, output, replayed, model, scores))

    @property
    def numbers(self) -> Sequence[int] | None:
        """The numbers of the rows of the command; None: it has all rows."""
        return None if self.command.rows is None else self.command.rows.numbers

    def _of_numbered_rows(self, output: bytes, steps: int) -> bytes:
        """Return the output of the rows that the command names, of the output of all rows."""
        if self.numbers is None:
            return output
        found = np.frombuffer(output, np.float32).reshape(steps, self.inputs.shape[1], -1)
        return found[:, self.numbers].tobytes()

    def place_rows(self, batch_size: int) -> None:
        """Replace inputs of numbered rows by those of all rows of the session. Raise InvalidInput."""
        assert self.numbers is not None
        command = self.command
        inputs, flags = flags_of(command.inputs, command.reset, command.rows)
        assert flags is not None
        self.inputs, self.flags = place_rows(inputs, flags, self.numbers, batch_size)
        self.shape = self.inputs.shape

    def singles(self) -> "list[StepRequest]":
        """Return the single requests: itself, or the steps of a batch."""
        return [self]


def too_late(deadline_s: float) -> DeadlineExceeded:
    """Return the error of a request whose time was over before its kernel began."""
    return DeadlineExceeded(f"the request had not begun after {deadline_s * 1000:.6g} ms")
