"""A step or sequence that a client has sent on a WebSocket, and its outcome: an answer or an error."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from cellar.api.decoding.steps.step_order import Place, behind
from cellar.api.errors.step_counts import count_answer
from cellar.api.websocket.close_codes import ends
from cellar.errors import (
    CellarError,
    IdUnknown,
    InternalError,
    NotReached,
    Overloaded,
    ShapeMismatch,
    TypeMismatch,
    WholeSequencesOnly,
)
from cellar.metrics.counts import COUNTS
from cellar.ports import Identity, StepChanges, StepCommand, StepResult
from cellar.sessions.forwarding.forwarded import PendingBatch
from cellar.sessions.requests.request import PendingSteps

logger = logging.getLogger(__name__)

MESSAGES, FRAMES = COUNTS.transports["websocket"], COUNTS.transports["websocket_frames"]

ABOUT_INPUTS = (ShapeMismatch, IdUnknown, TypeMismatch, WholeSequencesOnly)
"""Errors of a step's inputs, whose pointers begin at the inputs and not at the message."""


class Submission:
    """A step or a sequence that a client has sent, and its outcome: an answer or an error."""

    __slots__ = ("command", "error", "framed", "nbytes", "pending", "place", "result", "session", "tag")

    count = 1
    """Number of steps: a sequence counts as one."""

    def __init__(
        self,
        session: str,
        tag: int | None,
        command: StepCommand | None,
        place: Place | None,
        *,
        framed: bool = False,
        error: CellarError | None = None,
    ) -> None:
        self.session = session
        """The session of the step, "" if the message names none."""
        self.tag = tag
        """A number that the answer repeats."""
        self.command = command
        """None if the step is not run, because of `error`."""
        self.error = error
        self.place = place
        """Its place among the steps that depend on each other; None if it depends on none."""
        self.framed = framed
        """Whether it came in a frame, and is answered in one."""
        self.nbytes = 0
        """Bytes of the inputs."""
        if command is not None:
            self.nbytes = command.inputs.nbytes
            if command.deadline_s is not None:
                command.came_s = monotonic()
        self.pending: PendingSteps | None = None
        self.result: StepResult | None = None

    def settle(self) -> bool:
        """Store the outcome. Return whether it is known."""
        pending = self.pending
        if pending is None:
            return True
        if not pending.done():
            return False
        outcome = _known_outcome(pending.outcome)
        if isinstance(outcome, CellarError):
            self.fail(outcome)
        else:
            self.result = outcome
        return True

    def fail(self, error: CellarError) -> None:
        """Store an error. Pointers that begin at the inputs are changed to begin at the message."""
        if isinstance(error, ABOUT_INPUTS) and self.command is not None and self.command.pointer:
            error.pointer = self.command.pointer + error.pointer
        self.error = error

    def count_outcome(self) -> None:
        """Count the answer."""
        outcome = self.result or self.error or Overloaded("it was cancelled")
        count_answer(FRAMES if self.framed else MESSAGES, outcome)


class Several:
    """Plain single steps of one session in one frame, submitted together; has the members of `Submission`."""

    __slots__ = ("command", "count", "error", "nbytes", "outcomes", "pending", "place", "result", "session", "tags")

    framed = True

    def __init__(self, tags: NDArray[np.uint32], command: StepCommand) -> None:
        self.session = command.session.session
        self.tags = tags
        self.command = command
        """A batch."""
        self.count, self.nbytes = len(command.inputs), command.inputs.nbytes
        """Number of steps, and bytes of their inputs."""
        first = command.identity.step
        self.place = None if first is None else Place(None, first)
        """The place of the first step; after a failure, that of the first step that has failed."""
        self.pending: PendingBatch | None = None
        self.outcomes: Sequence[StepResult | CellarError] = ()
        """The outcome of each step, unless all have `landed`."""
        self.result: StepResult | None = None
        """The last result."""
        self.error: CellarError | None = None
        """The error that ends the stream, if there is one, else the first."""

    @property
    def rows(self) -> int:
        """Number of rows of each step."""
        return len(self.command.inputs[0])

    @property
    def landed(self) -> StepChanges | None:
        """The committed changes, if all steps have succeeded."""
        return None if self.pending is None else self.pending.batch.landed

    def cut(self, at: int) -> "tuple[Several, Several]":
        """Return the first `at` steps, and the others."""
        command, first = self.command, self.command.identity.step
        rest = command.identity if first is None else Identity(step=first + at)
        head, tail = command.inputs[:at], command.inputs[at:]
        return (
            Several(self.tags[:at], replace(command, inputs=head)),
            Several(self.tags[at:], replace(command, inputs=tail, identity=rest)),
        )

    def settle(self) -> bool:
        """Store the outcomes. Return whether they are known."""
        if self.pending is None:
            return True
        if not self.pending.done():
            return False
        if self.pending.batch.landed is not None:
            self.result = self.pending.result()
            return True
        self.outcomes = [_known_outcome(outcome) for outcome in self.pending.outcomes]
        errors = [(at, outcome) for at, outcome in enumerate(self.outcomes) if isinstance(outcome, CellarError)]
        if errors:
            self.error = next((error for _, error in errors if ends(error)), errors[0][1])
            if self.place is not None:
                self.place = Place(None, self.place.number + errors[0][0])
        self.result = next((each for each in reversed(self.outcomes) if isinstance(each, StepResult)), None)
        return True

    def fail(self, error: CellarError) -> None:
        """Store that they were refused: the first gets the error, and steps that depend on it NotReached."""
        self.error, self.outcomes = error, self.count * [error]
        if self.place is not None and not isinstance(error, NotReached):
            self.outcomes = [error, *(self.count - 1) * [behind(self.place)]]

    def count_outcome(self) -> None:
        """Count the answers."""
        if self.landed is not None:
            FRAMES.committed += self.count
            FRAMES.committed_steps += self.count
        else:
            for outcome in self.outcomes:
                count_answer(FRAMES, outcome)


def _known_outcome(outcome: StepResult | BaseException) -> StepResult | CellarError:
    """Return the outcome for the client. Raise CancelledError for a cancelled step."""
    if isinstance(outcome, StepResult | CellarError):
        return outcome
    if isinstance(outcome, Exception):
        return fault_of(outcome)
    raise outcome


def fault_of(error: Exception) -> CellarError:
    """Return the error for the client. A fault of the service is logged, and its details are left out."""
    if isinstance(error, CellarError):
        return error
    logger.error("%s in a step of a stream", type(error).__name__, exc_info=error)
    return InternalError()
