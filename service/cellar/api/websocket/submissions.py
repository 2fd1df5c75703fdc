"""The steps that clients ask for on a stream, and what comes of each: an answer or an error."""

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cellar.api.decoding.step_input import Asked
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
from cellar.ports import Committed, StepChanges
from cellar.sessions.requests.pending_result import PendingResult
from cellar.sessions.requests.step_batch import StepBatch
from cellar.sessions.values.results import Floats

logger = logging.getLogger(__name__)

ABOUT_INPUTS = (ShapeMismatch, IdUnknown, WholeSequencesOnly)
"""Errors that a step's inputs are to blame for, wherever they stood in a message."""


class Submission:
    """A step or a sequence that a client asks for, and what comes of it: an answer or an error."""

    __slots__ = (
        "answer",
        "asked",
        "came_s",
        "error",
        "framed",
        "kind",
        "nbytes",
        "pending",
        "place",
        "session",
        "tag",
        "timeout_s",
    )

    count = 1
    """How many steps it is."""

    def __init__(
        self,
        session: str | None,
        tag: int | None,
        asked: Asked | None,
        place: Place | None,
        kind: Literal["step", "sequence"] = "step",
        timeout_s: float | None = None,
        *,
        framed: bool = False,
        error: CellarError | None = None,
    ) -> None:
        self.session = session
        """As the message names it; None where it names none."""
        self.tag = tag
        """Goes back with the answer."""
        self.asked = asked
        """None if it is not run: `error` says why."""
        self.error = error
        self.place = place
        """Its place among the steps that depend on each other; None if it depends on none."""
        self.kind = kind
        self.timeout_s = timeout_s
        self.came_s = None if timeout_s is None else monotonic()
        """When its time began, by the monotonic clock."""
        self.framed = framed
        """Whether it came in a frame, and is answered in one."""
        self.nbytes = 0 if asked is None else asked.inputs.nbytes
        """Of its inputs."""
        self.pending: PendingResult | None = None
        self.answer: Committed | None = None

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
            self.answer = outcome
        return True

    def refuse(self, error: CellarError) -> None:
        """Let it be answered with an error, and not be run."""
        self.asked, self.error = None, self.error or error

    def fail(self, error: CellarError) -> None:
        """Note what went wrong; pointers that begin at the inputs shall begin at the message."""
        if isinstance(error, ABOUT_INPUTS) and self.asked is not None and self.asked.name:
            error.pointer = f"/{self.asked.name}{error.pointer}"
        self.error = error


class Several:
    """Single steps of one session that came in one frame and are as plain as can be: they go, and are answered, as one.

    It is to a socket what an `Submission` is, but for what came of each step.
    """

    __slots__ = ("answer", "count", "error", "inputs", "nbytes", "outcomes", "pending", "place", "session", "tags")

    framed = True

    def __init__(self, session: str | None, tags: NDArray[np.uint32], first: int | None, inputs: Floats) -> None:
        self.session = session
        self.tags = tags
        self.inputs = inputs
        """(T, rows, in_size), finite."""
        self.count, self.nbytes = len(inputs), inputs.nbytes
        """How many they are, and of how many bytes."""
        self.place = None if first is None else Place(None, first)
        """That of the first step; where any has failed, in the end, that of the one that failed first."""
        self.pending: StepBatch | None = None
        self.outcomes: Sequence[Committed | CellarError] = ()
        """Of each step, unless they have `landed`."""
        self.answer: Committed | None = None
        """The last of them, and"""
        self.error: CellarError | None = None
        """the one that ends a stream, if any does, else the first."""

    @property
    def rows(self) -> int:
        """How many rows each of them has."""
        return len(self.inputs[0])

    @property
    def landed(self) -> StepChanges | None:
        """What has been committed, if all went well with all of them."""
        return None if self.pending is None else self.pending.landed

    def cut(self, at: int) -> "tuple[Several, Several]":
        """Return the first `at` of them, and the others."""
        first = None if self.place is None else self.place.number
        parts = (
            Several(self.session, self.tags[:at], first, self.inputs[:at]),
            Several(self.session, self.tags[at:], None if first is None else first + at, self.inputs[at:]),
        )
        if self.error is not None:  # none of them is run
            for part in parts:
                part.refuse(self.error)
        return parts

    def settle(self) -> bool:
        """Take what came of them. Return whether that is known."""
        if self.pending is None:
            return True
        if not self.pending.done():
            return False
        if self.pending.landed is not None:
            self.answer = self.pending.committed()
            return True
        self.outcomes = [_told(outcome) for outcome in self.pending.outcomes]
        errors = [(at, outcome) for at, outcome in enumerate(self.outcomes) if isinstance(outcome, CellarError)]
        if errors:
            self.error = next((error for _, error in errors if ends(error)), errors[0][1])
            if self.place is not None:
                self.place = Place(None, self.place.number + errors[0][0])
        self.answer = next((each for each in reversed(self.outcomes) if isinstance(each, Committed)), None)
        return True

    def refuse(self, error: CellarError) -> None:
        """Let all of them be answered with an error, and none be run."""
        self.error = self.error or error
        self.outcomes = self.count * [self.error]

    def fail(self, error: CellarError) -> None:
        """Note that they were not taken: the first is answered with the error, and those that depend on it as such."""
        self.refuse(error)
        if self.place is not None and self.error is error and not isinstance(error, NotReached):
            self.outcomes = [error, *(self.count - 1) * [behind(self.place)]]


def _told(outcome: Committed | BaseException) -> Committed | CellarError:
    """Return an outcome that a client can be told. Raise CancelledError: nobody waits for that one."""
    if isinstance(outcome, Committed | CellarError):
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
