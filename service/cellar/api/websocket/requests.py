"""Decodes the messages of a stream: JSON objects with a step or a sequence each, and frames of many."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from cellar.api.decoding.steps.frame_record import command_of, identity_of
from cellar.api.decoding.steps.step_fast_json import plain_object, plain_step
from cellar.api.decoding.steps.step_input import sequence_of_json, session_key, step_of_json
from cellar.api.decoding.steps.step_order import Place, place_of
from cellar.api.errors.synonyms import synonym
from cellar.api.errors.validation_errors import shown
from cellar.api.http.body import validated
from cellar.api.schemas.session.websocket import ResumeMessage, SequenceMessage, StepMessage
from cellar.api.websocket.submissions import Several, Submission
from cellar.errors import CellarError, InvalidInput, MalformedJson
from cellar.nn.spec.base import whole
from cellar.ports import (
    APPEND,
    NAME_IN_WORDS,
    ROWS,
    Caller,
    Identity,
    SessionKey,
    StepCommand,
    is_name,
    shown_name,
)
from cellar.wire.frames import columns, frames
from cellar.wire.json.document import decode
from cellar.wire.json.outline import outline


class SessionNames:
    """Finds the session of a message: that of the socket, or the one that the message names if `session` is None."""

    def __init__(self, caller: Caller, session: str | None) -> None:
        self._tenant = caller.tenant
        self.own = None if session is None else SessionKey(caller.tenant, session)

    def key(self, name: str | None) -> SessionKey:
        """Return the session that a message means by this name. Raise InvalidInput if the socket does not allow it."""
        own = self.own
        if own is None:
            if name is None:
                raise InvalidInput("which session?", pointer="/session", expected="a session", actual="nothing")
            return session_key(self._tenant, name)
        if name is not None and name != own.session:
            raise InvalidInput("another session", pointer="/session", expected=own.session, actual=name)
        return own

    def shown(self, name: str | None) -> str:
        """Return the session that the answer to a message names, whether or not the socket allows it."""
        return (name or "") if self.own is None else self.own.session


NAMELESS = frozenset(("",))
"""The session names of records that mean the session of the socket."""


class Resume(NamedTuple):
    """A request for all that was committed after a position."""

    session: str | None
    position: str
    writer: str | None


def read_text(text: bytes, names: SessionNames) -> Submission | Resume:
    """Return the request in a text message, with the fault of a step as its error. Raise MalformedJson."""
    plain = plain_object(text)
    return (None if plain is None else _plain_step(plain, names)) or _read_any(text, names)


def _plain_step(document: dict[str, Any], names: SessionNames) -> Submission | None:
    """Return the step of a plain message, None for any other, which the models read."""
    tag, name = document.get("id"), document.get("session")
    if not (tag is None or (type(tag) is int and 0 <= tag < 2**32)):
        return None
    if not (name is None or (type(name) is str and is_name(name))):
        return None
    try:
        session = names.key(name)
    except InvalidInput:
        return None
    command = plain_step(document, session, None, None, ("id" in document) + ("session" in document))
    if command is None:
        return None
    identity = command.identity
    return Submission(session.session, tag, command, None if identity is APPEND else place_of(identity))


def _read_any(text: bytes, names: SessionNames) -> Submission | Resume:
    try:
        document: Any = decode(text)
        if not isinstance(document, dict):
            raise InvalidInput("a message is an object", expected="an object", actual=shown(document))
        return _read_object(document, names)
    except CellarError as error:
        found = outline(text)
        if isinstance(error, MalformedJson) and not (found.readable and _is_utf8(text)):
            raise
        return _failed(found.members, names, error)


def refused(text: bytes, names: SessionNames, error: CellarError) -> Submission:
    """Return the step of a text message that was not decoded."""
    return _failed(outline(text).members, names, error)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_frame(data: bytes, names: SessionNames) -> list[Submission | Several]:
    """Return the steps of a frame. Raise MalformedBody."""
    plain = columns.plain_steps(data)
    if plain is None or not all(map(is_name, set(plain.sessions) - NAMELESS)):
        return [_read_record(step, names) for step in frames.unpack_steps(data)]
    return _plain_records(plain, names)


def _plain_records(plain: columns.PlainSteps, names: SessionNames) -> list[Submission | Several]:
    """Return the steps of a plain frame, where adjacent ones of a session are one submission."""
    sessions, tags, numbers, inputs = plain
    found: list[Submission | Several] = []
    for start, end in _runs(sessions, numbers):
        name, first = sessions[start] or None, None if numbers is None else numbers[start]
        identity, place = (APPEND, None) if first is None else (Identity(step=first), Place(None, first))
        try:
            session = names.key(name)
        except InvalidInput as error:
            for at in range(start, end):
                place = None if first is None else Place(None, first + at - start)
                found.append(Submission(names.shown(name), int(tags[at]), None, place, framed=True, error=error))
            continue
        if end - start > 1:
            command = StepCommand(session, inputs[start:end, 0], identity, False, None, "batch", ROWS, "", True)
            found.append(Several(tags[start:end], command))
        else:
            command = StepCommand(session, inputs[start], identity, False, None, "step", ROWS, "", True)
            found.append(Submission(session.session, int(tags[start]), command, place, framed=True))
    return found


def _runs(sessions: Sequence[str], numbers: Sequence[int] | None) -> Iterator[tuple[int, int]]:
    """Yield begin and end of runs of records of one session with consecutive numbers."""
    start = 0
    if numbers is None and sessions.count(sessions[0]) == len(sessions):
        yield start, len(sessions)
        return
    for at in range(1, len(sessions)):
        if sessions[at] != sessions[start] or (numbers is not None and numbers[at] != numbers[at - 1] + 1):
            yield start, at
            start = at
    yield start, len(sessions)


def _read_object(document: dict[str, Any], names: SessionNames) -> Submission | Resume:
    if "input" in document:
        step = validated(StepMessage, document)
        return _submission(step, names, partial(step_of_json, step))
    if "inputs" in document:
        sequence = validated(SequenceMessage, document)
        return _submission(sequence, names, partial(sequence_of_json, sequence))
    if "resume" in document:
        resume = validated(ResumeMessage, document)
        return Resume(resume.session, resume.resume, resume.writer)
    known = ["input", "inputs", "resume"]
    meant = next((f"; did you mean `{found}`?" for name in document if (found := synonym(name, known))), "")
    raise InvalidInput(f"a message has one of these{meant}", expected="input, inputs or resume", actual="none of them")


def _submission(
    message: StepMessage | SequenceMessage,
    names: SessionNames,
    read: Callable[[SessionKey, str | None, float | None], StepCommand],
) -> Submission:
    place = place_of(message.identity(message.key))
    try:
        session = names.key(message.session)
    except InvalidInput as error:
        return Submission(names.shown(message.session), message.id, None, place, error=error)
    return Submission(session.session, message.id, read(session, message.key, message.deadline_s), place)


def _failed(members: dict[str, Any], names: SessionNames, error: CellarError) -> Submission:
    """Return the step of a faulty message, with the names that can be read: later steps may depend on it."""
    name, writer, tag = members.get("session"), members.get("writer"), whole(members.get("id"))
    named = isinstance(writer, str)
    number = whole(members.get("seq" if named else "step"))
    place = Place(writer if named else None, number) if isinstance(number, int) else None
    session = names.shown(name if isinstance(name, str) and is_name(name) else None)
    tagged = isinstance(tag, int) and 0 <= tag < 2**32
    return Submission(session, tag if tagged else None, None, place, error=error)


def _read_record(step: frames.Step, names: SessionNames) -> Submission:
    identity, name = identity_of(step), step.session or None
    place = place_of(identity)
    try:
        if name is not None and not is_name(name):
            name = None
            raise InvalidInput("not the name of a session", expected=NAME_IN_WORDS, actual=shown_name(step.session))
        command = command_of(step, names.key(name), identity)
    except InvalidInput as error:
        return Submission(names.shown(name), step.tag, None, place, framed=True, error=error)
    return Submission(command.session.session, step.tag, command, place, framed=True)
