"""A fast decoder of plain steps in JSON: an object with an input, and perhaps an identity and a reset.

Nearly all steps are plain. The pydantic models, which report what is wrong with a request, take six microseconds for a
valid one, and this decoder two. Any step that is not plain is left to the models.
"""

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson

from cellar.api.decoding.steps.step_input import INPUT, session_key, step_of_json
from cellar.api.http.body import validated
from cellar.api.schemas.session.steps import StepRequest
from cellar.errors import InvalidInput
from cellar.ports import APPEND, ROW, ROWS, Floats, Identity, Reset, SessionKey, StepCommand, is_name
from cellar.sessions.values.position import MAX_STEP, parse_position
from cellar.wire.json.document import SHORT_BYTES, decode
from cellar.wire.numbers.numbers import NUMBER_TYPES, PACKERS, plain_array

BESIDES = frozenset(("position", "step", "writer", "seq", "reset"))
"""The members of a step besides its input."""

BOOLS = frozenset((bool,))

_FLOAT32 = np.dtype("<f4")

_BEGIN: Final = 0x7B
_END: Final = 0x7D
"""The braces of an object."""


def read_step(body: bytes, session: SessionKey, key: str | None, deadline_s: float | None) -> StepCommand:
    """Return the step of a JSON body; `key` is its Idempotency-Key. Raise MalformedJson or InvalidInput."""
    document = plain_object(body)
    command = None if document is None else plain_step(document, session, key, deadline_s)
    if command is not None:
        return command
    return step_of_json(validated(StepRequest, decode(body)), session, key, deadline_s)


def plain_object(body: bytes) -> dict[str, Any] | None:
    """Return a short JSON object with no members in objects inside it and no repeated members, None for any other text.

    Such an object has as many colons as members. Each further member, or a colon in a string, would add one.
    """
    if len(body) > SHORT_BYTES:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if type(document) is dict and body.count(b":") == len(document) else None


def plain_steps(lines: Sequence[bytes], tenant: str) -> list[StepCommand] | None:
    """Return the steps of lines that name their sessions, None if each line must be read by itself.

    They are read in half the time: by one call of the parser, and one that converts their numbers. That needs plain
    objects with as many numbers each.
    """
    documents = _plain_objects(lines)
    if documents is None:
        return None
    sessions: list[SessionKey] = []
    inputs: list[Any] = []
    for document in documents:
        name, values = document.get("session"), document.get("input")
        if type(name) is not str or type(values) is not list:
            return None
        try:
            sessions.append(session_key(tenant, name))
        except InvalidInput:
            return None
        inputs.append(values)
    rows = plain_rows(inputs)
    if rows is None:
        return None
    commands: list[StepCommand] = []
    for session, document, row in zip(sessions, documents, rows, strict=True):
        besides = (APPEND, False) if len(document) == 2 else _besides(document, None, 1)
        if besides is None:
            return None
        identity, reset = besides
        commands.append(StepCommand(session, row, identity, reset, None, "step", ROW, INPUT, True))
    return commands


def _plain_objects(lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """Return the objects of lines as `plain_object` does for each; None if one of them is not plain.

    No object continues in the next line: each line has one brace at its begin and one at its end, and the parser
    refuses a line feed in a string.
    """
    count = len(lines)
    for line in lines:
        if line[0] != _BEGIN or line[-1] != _END:
            return None
    text = b",\n".join(lines)
    if text.count(b"{") != count or text.count(b"}") != count:
        return None
    try:
        documents: list[dict[str, Any]] = orjson.loads(b"[" + text + b"]")
    except orjson.JSONDecodeError:
        return None
    members = 0
    for document in documents:
        members += len(document)
    return documents if text.count(b":") == members else None


def plain_step(
    document: dict[str, Any], session: SessionKey, key: str | None, deadline_s: float | None, others: int = 0
) -> StepCommand | None:
    """Return the step of a plain object, None if the models must read it.

    `others` of its members do not belong to the step; the caller checks them.
    """
    values = document.get("input")
    if type(values) is not list:
        return None
    inputs, layout = plain_row(values), ROW
    if inputs is None:
        rows, layout = plain_array(values, 2), ROWS
        if rows is None:
            return None
        inputs = rows[None]
    reset: Reset
    identity, reset = APPEND if key is None else Identity(key=key), False
    if len(document) > 1 + others:
        found = _besides(document, key, others)
        if found is None:
            return None
        identity, reset = found
    return StepCommand(session, inputs, identity, reset, deadline_s, "step", layout, INPUT, True)


def _besides(document: dict[str, Any], key: str | None, others: int) -> tuple[Identity, Reset] | None:
    if len(document.keys() & BESIDES) + 1 + others != len(document):
        return None
    step, writer, seq = document.get("step"), document.get("writer"), document.get("seq")
    reset = document.get("reset", False)
    counts = _is_count(step, 0) and _is_count(seq, 1)
    named = writer is None or (type(writer) is str and is_name(writer))
    masked = type(reset) is bool or (type(reset) is list and BOOLS.issuperset(map(type, reset)))
    if not (counts and named and masked):
        return None
    text = document.get("position")
    if text is None:
        return Identity(None, step, key, writer, seq), reset
    try:
        return Identity(parse_position(text), step, key, writer, seq), reset
    except (InvalidInput, TypeError):
        return None


def _is_count(value: Any, least: int) -> bool:
    return value is None or (type(value) is int and least <= value <= MAX_STEP)


def plain_row(values: list[Any]) -> Floats | None:
    """Return a list of a JSON document as one row of one step, (1, 1, F), None if it is empty or has other elements.

    Nearly all steps have this form. `parse_array` takes three times as long, and checks for infinite numbers, which
    JSON does not have; numbers beyond float32 are refused when they are packed.
    """
    if not values or not NUMBER_TYPES.issuperset(map(type, values)):
        return None
    count = len(values)
    try:
        return np.ndarray((1, 1, count), _FLOAT32, PACKERS[count](*values))
    except (OverflowError, struct.error):
        return None


def plain_rows(lists: Sequence[list[Any]]) -> list[Floats] | None:
    """Return lists as `plain_row` does, None if it would not return an array for each, or if they differ in length."""
    count = len(lists[0]) if lists else 0
    flat = list(chain.from_iterable(lists))
    if not flat or set(map(len, lists)) != {count} or not NUMBER_TYPES.issuperset(map(type, flat)):
        return None
    try:
        packed = struct.pack(f"<{len(flat)}f", *flat)
    except (OverflowError, struct.error):
        return None
    return list(np.ndarray((len(lists), 1, 1, count), _FLOAT32, packed))
