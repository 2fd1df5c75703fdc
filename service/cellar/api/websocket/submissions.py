"""The steps that clients ask for on a stream, and what comes of each: an answer or an error."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from cellar.api.decoding.step_order import Place, behind
from cellar.api.websocket.close_codes import ends
from cellar.errors import (
    CellarError,
    IdUnknown,
    InternalError,
    NotReached,
    ShapeMismatch,
    WholeSequencesOnly,
)
from cellar.ports import Identity, StepChanges, StepCommand, StepResult
from cellar.sessions.requests.request import PendingSteps
from cellar.sessions.requests.step_batch import StepBatch

logger = logging.getLogger(__name__)

ABOUT_INPUTS = (ShapeMismatch, IdUnknown, WholeSequencesOnly)
"""Errors that a step's inputs are to blame for, wherever they stood in a message."""


class Submission:
    """A step or a sequence that a client asks for, and what comes of it: an answer or an error."""

    __slots__ = ("command", "error", "framed", "nbytes", "pending", "place", "result", "session", "tag")

    count = 1
    """How many steps it is."""

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
        """Whose step it is, "" of nobody's."""
        self.tag = tag
        """Goes back with the answer."""
        self.command = command
        """None if it is not run: `error` says why."""
        self.error = error
        self.place = place
        """Its place among the steps that depend on each other; None if it depends on none."""
        self.framed = framed
        """Whether it came in a frame, and is answered in one."""
        self.nbytes = 0
        """Of its inputs."""
        if command is not None:
            self.nbytes = command.inputs.nbytes
            if command.deadline_s is not None:
                command.came_s = monotonic()
        self.pending: PendingSteps | None = None
        self.result: StepResult | None = None

    def settle(self) -> bool:
        """Take what came of it. Return whether that is known."""
        pending = self.pending
        if pending is None:
            return True
        if not pending.done():
            return False
        outcome = _told(pending.outcome)
        if isinstance(outcome, CellarError):
            self.fail(outcome)
        else:
            self.result = outcome
        return True

    def fail(self, error: CellarError) -> None:
        """Note what went wrong; pointers that begin at the inputs shall begin at the message."""
        if isinstance(error, ABOUT_INPUTS) and self.command is not None and self.command.pointer:
            error.pointer = self.command.pointer + error.pointer
        self.error = error


class Several:
    """Single steps of one session that came in one frame and are as plain as can be: they go, and are answered, as one.

    It is to a socket what an `Submission` is, but for what came of each step.
    """

    __slots__ = ("command", "count", "error", "nbytes", "outcomes", "pending", "place", "result", "session", "tags")

    framed = True

    def __init__(self, tags: NDArray[np.uint32], command: StepCommand) -> None:
        self.session = command.session.session
        self.tags = tags
        self.command = command
        """A batch."""
        self.count, self.nbytes = len(command.inputs), command.inputs.nbytes
        """How many they are, and of how many bytes."""
        first = command.identity.step
        self.place = None if first is None else Place(None, first)
        """That of the first step; where any has failed, in the end, that of the one that failed first."""
        self.pending: StepBatch | None = None
        self.outcomes: Sequence[StepResult | CellarError] = ()
        """Of each step, unless they have `landed`."""
        self.result: StepResult | None = None
        """The last of them, and"""
        self.error: CellarError | None = None
        """the one that ends a stream, if any does, else the first."""

    @property
    def rows(self) -> int:
        """How many rows each of them has."""
        return len(self.command.inputs[0])

    @property
    def landed(self) -> StepChanges | None:
        """What has been committed, if all went well with all of them."""
        return None if self.pending is None else self.pending.landed

    def cut(self, at: int) -> "tuple[Several, Several]":
        """Return the first `at` of them, and the others."""
        command, first = self.command, self.command.identity.step
        rest = command.identity if first is None else Identity(step=first + at)
        head, tail = command.inputs[:at], command.inputs[at:]
        return (
            Several(self.tags[:at], replace(command, inputs=head)),
            Several(self.tags[at:], replace(command, inputs=tail, identity=rest)),
        )

    def settle(self) -> bool:
        """Take what came of them. Return whether that is known."""
        if self.pending is None:
            return True
        if not self.pending.done():
            return False
        if self.pending.landed is not None:
            self.result = self.pending.result()
            return True
        self.outcomes = [_told(outcome) for outcome in self.pending.outcomes]
        errors = [(at, outcome) for at, outcome in enumerate(self.outcomes) if isinstance(outcome, CellarError)]
        if errors:
            self.error = next((error for _, error in errors if ends(error)), errors[0][1])
            if self.place is not None:
                self.place = Place(None, self.place.number + errors[0][0])
        self.result = next((each for each in reversed(self.outcomes) if isinstance(each, StepResult)), None)
        return True

    def fail(self, error: CellarError) -> None:
        """Note that they were not taken: the first is answered with the error, and those that depend on it as such."""
        self.error, self.outcomes = error, self.count * [error]
        if self.place is not None and not isinstance(error, NotReached):
            self.outcomes = [error, *(self.count - 1) * [behind(self.place)]]


def _told(outcome: StepResult | BaseException) -> StepResult | CellarError:
    """Return an outcome that a client can be told. Raise CancelledError: nobody waits for that one."""
    if isinstance(outcome, StepResult | CellarError):
        return outcome
    if isinstance(outcome, Exception):
        return fault_of(outcome)
    raise outcome


def fault_of(error: Exception) -> CellarError:
    """Return what a client is told of what went wrong with a step: of a fault of ours no more than that, and log it."""
    if isinstance(error, CellarError):
        return error
    logger.error("%s in a step of a stream", type(error).__name__, exc_info=error)
    return InternalError()
