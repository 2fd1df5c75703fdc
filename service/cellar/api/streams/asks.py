"""What the messages of a stream ask for: JSON objects, a step or a sequence each, and frames of many."""

import logging
import re
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.api.asked import Asked, one_step, sequence_of_json, step_of_json
from cellar.api.body import validated
from cellar.api.faults import shown
from cellar.api.plain import plain_object, plain_step
from cellar.api.records import asked_of, identity_of
from cellar.api.schemas.streams import ResumeMessage, SequenceMessage, StepMessage
from cellar.api.streams.closing import ends
from cellar.api.streams.order import Place, behind, place_of
from cellar.api.synonyms import synonym
from cellar.errors import (
    CellarError,
    IdUnknown,
    InternalError,
    InvalidInput,
    MalformedJson,
    NotReached,
    ShapeMismatch,
    WholeSequencesOnly,
)
from cellar.nn.spec import whole
from cellar.ports import APPEND, NAME, NAME_IN_WORDS, Committed, Identity, StepChanges
from cellar.runtime.answers import Floats
from cellar.runtime.burst import Burst
from cellar.runtime.pending import Pending
from cellar.wire import columns, frames
from cellar.wire.document import decode
from cellar.wire.outline import outline

logger = logging.getLogger(__name__)

ABOUT_INPUTS = (ShapeMismatch, IdUnknown, WholeSequencesOnly)
"""Errors that a step's inputs are to blame for, wherever they stood in a message."""

_NAME = re.compile(NAME)

NAMELESS = frozenset(("",))
"""Sessions of records that leave it to the socket."""


class Ask:
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
        self.pending: Pending | None = None
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

    It is to a socket what an `Ask` is, but for what came of each step.
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
        self.pending: Burst | None = None
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


class Resume(NamedTuple):
    """Somebody wants what was committed after a position."""

    session: str | None
    position: str
    writer: str | None


def read_text(text: bytes) -> Ask | Resume:
    """Return what a text message asks for; what is wrong with a step is the error of that step.

    Raise MalformedJson for what is no JSON object to its end, or no UTF-8.
    """
    plain = plain_object(text)
    return (None if plain is None else _plain_step(plain)) or _read_any(text)


def _plain_step(document: dict[str, Any]) -> Ask | None:
    """Return the step of a message in which nothing is to be explained, None of any other: the models do that."""
    tag, session = document.get("id"), document.get("session")
    if not (tag is None or (type(tag) is int and 0 <= tag < 2**32)):
        return None
    if not (session is None or (type(session) is str and _is_name(session))):
        return None
    asked = plain_step(document, None, ("id" in document) + ("session" in document))
    if asked is None:
        return None
    identity = asked.identity
    return Ask(session, tag, asked, None if identity is APPEND else place_of(identity))


def _read_any(text: bytes) -> Ask | Resume:
    try:
        document: Any = decode(text)
        if not isinstance(document, dict):
            raise InvalidInput("a message is an object", expected="an object", actual=shown(document))
        return _read_object(document)
    except CellarError as error:
        found = outline(text)
        if isinstance(error, MalformedJson) and not (found.readable and _is_utf8(text)):
            raise
        return _failed(found.members, error)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_frame(data: bytes) -> list[Ask | Several]:
    """Return what the steps of a frame ask for. Raise MalformedBody."""
    plain = columns.plain_steps(data)
    if plain is None or not all(map(_is_name, set(plain.sessions) - NAMELESS)):
        return [_read_record(step) for step in frames.unpack_steps(data)]
    return _plain_records(plain)


def _plain_records(plain: columns.PlainSteps) -> list[Ask | Several]:
    """Return the steps of a plain frame: those of a session that stand side by side as one."""
    sessions, tags, numbers, inputs = plain
    found: list[Ask | Several] = []
    for start, end in _runs(sessions, numbers):
        session, first = sessions[start] or None, None if numbers is None else numbers[start]
        if end - start > 1:
            found.append(Several(session, tags[start:end], first, inputs[start:end, 0]))
            continue
        identity = APPEND if first is None else Identity(step=first)
        asked = Asked(inputs[start], identity, False, one_step, "")
        found.append(Ask(session, int(tags[start]), asked, None if first is None else Place(None, first), framed=True))
    return found


def _runs(sessions: Sequence[str], numbers: Sequence[int] | None) -> Iterator[tuple[int, int]]:
    """Yield from where to where records are of one session, and their numbers follow each other."""
    start = 0
    if numbers is None and sessions.count(sessions[0]) == len(sessions):
        yield start, len(sessions)
        return
    for at in range(1, len(sessions)):
        if sessions[at] != sessions[start] or (numbers is not None and numbers[at] != numbers[at - 1] + 1):
            yield start, at
            start = at
    yield start, len(sessions)


def _is_name(session: str) -> bool:
    return _NAME.fullmatch(session) is not None


def _read_object(document: dict[str, Any]) -> Ask | Resume:
    if "input" in document:
        step = validated(StepMessage, document)
        asked = step_of_json(step, step.key)
        return Ask(step.session, step.id, asked, place_of(asked.identity), "step", step.timeout_s)
    if "inputs" in document:
        sequence = validated(SequenceMessage, document)
        asked = sequence_of_json(sequence, sequence.key)
        return Ask(sequence.session, sequence.id, asked, place_of(asked.identity), "sequence", sequence.timeout_s)
    if "resume" in document:
        resume = validated(ResumeMessage, document)
        return Resume(resume.session, resume.resume, resume.writer)
    known = ["input", "inputs", "resume"]
    meant = next((f"; did you mean `{found}`?" for name in document if (found := synonym(name, known))), "")
    raise InvalidInput(f"a message has one of these{meant}", expected="input, inputs or resume", actual="none of them")


def _failed(members: dict[str, Any], error: CellarError) -> Ask:
    """Return the step of a message that is none, as far as it can be told: the steps behind it may depend on it."""
    session, writer, tag = members.get("session"), members.get("writer"), whole(members.get("id"))
    named = isinstance(writer, str)
    number = whole(members.get("seq" if named else "step"))
    place = Place(writer if named else None, number) if isinstance(number, int) else None
    known = isinstance(session, str) and _is_name(session)
    tagged = isinstance(tag, int) and 0 <= tag < 2**32
    return Ask(session if known else None, tag if tagged else None, None, place, error=error)


def _read_record(step: frames.Step) -> Ask:
    identity = identity_of(step)
    session = step.session or None
    try:
        if session is not None and not _is_name(session):
            session = None
            raise InvalidInput("not the name of a session", expected=NAME_IN_WORDS, actual=shown(step.session))
        asked = asked_of(step, identity)
    except InvalidInput as error:
        return Ask(session, step.tag, None, place_of(identity), framed=True, error=error)
    kind: Literal["step", "sequence"] = "sequence" if step.sequence else "step"
    timeout_s = step.timeout_ms / 1000 or None
    return Ask(session, step.tag, asked, place_of(identity), kind, timeout_s, framed=True)
