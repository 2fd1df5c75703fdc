"""The messages of a stream, read: JSON objects, a step or a sequence each, and frames of many."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from cellar.api.decoding.frame_record import asked_of, identity_of
from cellar.api.decoding.step_fast_json import plain_object, plain_step
from cellar.api.decoding.step_input import Asked, one_step, sequence_of_json, step_of_json
from cellar.api.decoding.step_order import Place, place_of
from cellar.api.errors.synonyms import synonym
from cellar.api.errors.validation_errors import shown
from cellar.api.http.body import validated
from cellar.api.schemas.session.websocket import ResumeMessage, SequenceMessage, StepMessage
from cellar.api.websocket.submissions import Several, Submission
from cellar.errors import CellarError, InvalidInput, MalformedJson
from cellar.nn.spec.base import whole
from cellar.ports import APPEND, NAME, NAME_IN_WORDS, Identity
from cellar.wire.frames import columns, frames
from cellar.wire.json.document import decode
from cellar.wire.json.outline import outline

_NAME = re.compile(NAME)

NAMELESS = frozenset(("",))
"""Sessions of records that leave it to the socket."""


class Resume(NamedTuple):
    """Somebody wants what was committed after a position."""

    session: str | None
    position: str
    writer: str | None


def read_text(text: bytes) -> Submission | Resume:
    """Return what a text message asks for; what is wrong with a step is the error of that step.

    Raise MalformedJson for what is no JSON object to its end, or no UTF-8.
    """
    plain = plain_object(text)
    return (None if plain is None else _plain_step(plain)) or _read_any(text)


def _plain_step(document: dict[str, Any]) -> Submission | None:
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
    return Submission(session, tag, asked, None if identity is APPEND else place_of(identity))


def _read_any(text: bytes) -> Submission | Resume:
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


def read_frame(data: bytes) -> list[Submission | Several]:
    """Return what the steps of a frame ask for. Raise MalformedBody."""
    plain = columns.plain_steps(data)
    if plain is None or not all(map(_is_name, set(plain.sessions) - NAMELESS)):
        return [_read_record(step) for step in frames.unpack_steps(data)]
    return _plain_records(plain)


def _plain_records(plain: columns.PlainSteps) -> list[Submission | Several]:
    """Return the steps of a plain frame: those of a session that stand side by side as one."""
    sessions, tags, numbers, inputs = plain
    found: list[Submission | Several] = []
    for start, end in _runs(sessions, numbers):
        session, first = sessions[start] or None, None if numbers is None else numbers[start]
        if end - start > 1:
            found.append(Several(session, tags[start:end], first, inputs[start:end, 0]))
            continue
        identity = APPEND if first is None else Identity(step=first)
        asked = Asked(inputs[start], identity, False, one_step, "")
        found.append(
            Submission(session, int(tags[start]), asked, None if first is None else Place(None, first), framed=True)
        )
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


def _read_object(document: dict[str, Any]) -> Submission | Resume:
    if "input" in document:
        step = validated(StepMessage, document)
        asked = step_of_json(step, step.key)
        return Submission(step.session, step.id, asked, place_of(asked.identity), "step", step.timeout_s)
    if "inputs" in document:
        sequence = validated(SequenceMessage, document)
        asked = sequence_of_json(sequence, sequence.key)
        return Submission(
            sequence.session, sequence.id, asked, place_of(asked.identity), "sequence", sequence.timeout_s
        )
    if "resume" in document:
        resume = validated(ResumeMessage, document)
        return Resume(resume.session, resume.resume, resume.writer)
    known = ["input", "inputs", "resume"]
    meant = next((f"; did you mean `{found}`?" for name in document if (found := synonym(name, known))), "")
    raise InvalidInput(f"a message has one of these{meant}", expected="input, inputs or resume", actual="none of them")


def _failed(members: dict[str, Any], error: CellarError) -> Submission:
    """Return the step of a message that is none, as far as it can be told: the steps behind it may depend on it."""
    session, writer, tag = members.get("session"), members.get("writer"), whole(members.get("id"))
    named = isinstance(writer, str)
    number = whole(members.get("seq" if named else "step"))
    place = Place(writer if named else None, number) if isinstance(number, int) else None
    known = isinstance(session, str) and _is_name(session)
    tagged = isinstance(tag, int) and 0 <= tag < 2**32
    return Submission(session if known else None, tag if tagged else None, None, place, error=error)


def _read_record(step: frames.Step) -> Submission:
    identity = identity_of(step)
    session = step.session or None
    try:
        if session is not None and not _is_name(session):
            session = None
            raise InvalidInput("not the name of a session", expected=NAME_IN_WORDS, actual=shown(step.session))
        asked = asked_of(step, identity)
    except InvalidInput as error:
        return Submission(session, step.tag, None, place_of(identity), framed=True, error=error)
    kind: Literal["step", "sequence"] = "sequence" if step.sequence else "step"
    timeout_s = step.timeout_ms / 1000 or None
    return Submission(session, step.tag, asked, place_of(identity), kind, timeout_s, framed=True)
