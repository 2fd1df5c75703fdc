"""What the messages of a stream ask for: JSON objects, a step or a sequence each, and frames of many."""

from typing import Any, Literal, NamedTuple

from cellar.api.asked import Asked, one_step, sequence_of_json, step_of_json
from cellar.api.body import validated
from cellar.api.faults import shown
from cellar.api.plain import NAME, plain_object, plain_step
from cellar.api.records import asked_of, identity_of
from cellar.api.schemas.names import NAME_PATTERN
from cellar.api.schemas.streams import ResumeMessage, SequenceMessage, StepMessage
from cellar.api.streams.order import Place, place_of
from cellar.errors import CellarError, IdUnknown, InvalidInput, MalformedJson, ShapeMismatch, WholeSequencesOnly
from cellar.ports import APPEND, Committed, Identity
from cellar.runtime.pending import Pending
from cellar.wire import columns, frames
from cellar.wire.document import decode

ABOUT_INPUTS = (ShapeMismatch, IdUnknown, WholeSequencesOnly)
"""Errors that a step's inputs are to blame for, wherever they stood in a message."""

NAMELESS = frozenset(("",))
"""Sessions of records that leave it to the socket."""


class Ask:
    """A step or a sequence that a client asks for, and what comes of it: an answer or an error."""

    __slots__ = (
        "answer",
        "asked",
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
        try:
            self.answer = pending.committed()
        except CellarError as error:
            self.fail(error)
        return True

    def refuse(self, error: CellarError) -> None:
        """Let it be answered with an error, and not be run."""
        self.asked, self.error = None, self.error or error

    def fail(self, error: CellarError) -> None:
        """Note what went wrong; pointers that begin at the inputs shall begin at the message."""
        if isinstance(error, ABOUT_INPUTS) and self.asked is not None and self.asked.name:
            error.pointer = f"/{self.asked.name}{error.pointer}"
        self.error = error


class Resume(NamedTuple):
    """Somebody wants what was committed after a position."""

    session: str | None
    position: str
    writer: str | None


def read_text(text: bytes) -> Ask | Resume:
    """Return what a text message asks for; what is wrong with a step is the error of that step.

    Raise MalformedJson.
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
    document: Any = None
    try:
        document = decode(text)
        if not isinstance(document, dict):
            raise InvalidInput("a message is an object", expected="an object", actual=shown(document))
        return _read_object(document)
    except MalformedJson:
        raise
    except CellarError as error:
        return _failed(document, error)


def read_frame(data: bytes) -> list[Ask]:
    """Return what the steps of a frame ask for. Raise MalformedBody."""
    plain = columns.plain_steps(data)
    if plain is None or not all(map(_is_name, set(plain.sessions) - NAMELESS)):
        return [_read_record(step) for step in frames.unpack_steps(data)]
    return _plain_records(plain)


def _plain_records(plain: columns.PlainSteps) -> list[Ask]:
    if plain.numbers is None:
        return [
            Ask(session or None, tag, Asked(inputs, APPEND, False, one_step, ""), None, framed=True)
            for session, tag, inputs in zip(plain.sessions, plain.tags, plain.inputs, strict=True)
        ]
    return [
        Ask(
            session or None,
            tag,
            Asked(inputs, Identity(step=number), False, one_step, ""),
            Place(None, number),
            framed=True,
        )
        for session, tag, inputs, number in zip(plain.sessions, plain.tags, plain.inputs, plain.numbers, strict=True)
    ]


def _is_name(session: str) -> bool:
    return NAME.fullmatch(session) is not None


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
    raise InvalidInput("a message has one of these", expected="input, inputs or resume", actual="none of them")


def _failed(document: Any, error: CellarError) -> Ask:
    """Return the step of a message that is none, as far as it can be told: the steps behind it may depend on it."""
    members = document if isinstance(document, dict) else {}
    session, writer, tag = members.get("session"), members.get("writer"), members.get("id")
    named = isinstance(writer, str)
    number = members.get("seq" if named else "step")
    place = Place(writer if named else None, number) if isinstance(number, int) else None
    known = isinstance(session, str) and _is_name(session)
    return Ask(session if known else None, tag if isinstance(tag, int) else None, None, place, error=error)


def _read_record(step: frames.Step) -> Ask:
    identity = identity_of(step)
    try:
        if step.session and not _is_name(step.session):
            raise InvalidInput("not the name of a session", expected=NAME_PATTERN, actual=shown(step.session))
        asked = asked_of(step, identity)
    except InvalidInput as error:
        return Ask(None, step.tag, None, place_of(identity), framed=True, error=error)
    kind: Literal["step", "sequence"] = "sequence" if step.sequence else "step"
    timeout_s = step.timeout_ms / 1000 or None
    return Ask(step.session or None, step.tag, asked, place_of(identity), kind, timeout_s, framed=True)
