"""A fast decoder of plain steps in JSON: an object with an input, and perhaps an identity and a reset.

Nearly all steps are plain. The pydantic models, which report what is wrong with a request, take six microseconds for a
valid one, and this decoder two. Any step that is not plain is left to the models.
"""

from typing import Any

import orjson

from cellar.api.decoding.steps.step_input import INPUT, step_of_json
from cellar.api.http.body import validated
from cellar.api.schemas.session.steps import StepRequest
from cellar.errors import InvalidInput
from cellar.ports import APPEND, ROW, ROWS, Identity, Reset, SessionKey, StepCommand, is_name
from cellar.sessions.values.position import MAX_STEP, parse_position
from cellar.wire.json.document import SHORT_BYTES, decode
from cellar.wire.numbers.numbers import plain_array, plain_row

BESIDES = frozenset(("position", "step", "writer", "seq", "reset"))
"""The members of a step besides its input."""

BOOLS = frozenset((bool,))


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
