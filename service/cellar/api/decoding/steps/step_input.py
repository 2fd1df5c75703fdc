"""Decodes steps and sequences from JSON or npy, with their query and Idempotency-Key, into commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from cellar.api.decoding.steps.readings import Written, load_npy, written_rows
from cellar.api.errors.validation_errors import below
from cellar.api.http.body import validated
from cellar.api.http.query_and_headers import of_query
from cellar.api.schemas.session.steps import Advance, SequenceQuery, SequenceRequest, StepQuery, StepRequest
from cellar.errors import IdUnknown, InvalidInput, ShapeMismatch, TypeMismatch, WholeSequencesOnly
from cellar.ports import (
    NAME_IN_WORDS,
    ROW,
    ROWS,
    Floats,
    Readings,
    RowFlags,
    SessionKey,
    StepCommand,
    StepKind,
    is_name,
    shown_name,
)
from cellar.sessions.values.row_flags import left_out_where
from cellar.wire.arrays.layout import check_layout, parse_layout, to_tbf
from cellar.wire.json.document import decode
from cellar.wire.numbers.null_rows import fill_null_rows
from cellar.wire.numbers.numbers import depth_of, parse_array

INPUT, INPUTS = "/input", "/inputs"
"""JSON pointers to the inputs of a step, and of a sequence."""


@lru_cache(maxsize=16384)
def session_key(tenant: str, name: str) -> SessionKey:
    """Return the session of a tenant that a body or message names. Raise InvalidInput. The check is cached."""
    if not is_name(name):
        actual = shown_name(name)
        raise InvalidInput("not a name for a session", pointer="/session", expected=NAME_IN_WORDS, actual=actual)
    return SessionKey(tenant, name)


def step_of_json(body: StepRequest, session: SessionKey, key: str | None, deadline_s: float | None) -> StepCommand:
    """Return the step of a JSON body; `key` is its Idempotency-Key. Raise InvalidInput."""
    try:
        inputs, flags = _numbers_of_step(body.input)
    except InvalidInput as error:
        written = written_rows(body.input, "step", None, error, INPUT)
        if written is None:
            raise
        return _of_json(body, session, key, deadline_s, "step", written.inputs, written.layout, written.flags, written)
    steps, layout = _one(inputs)
    return _of_json(body, session, key, deadline_s, "step", steps, layout, flags)


def _numbers_of_step(value: Any) -> tuple[Floats, RowFlags | None]:
    """Return the numbers of a step, (rows, in_size) or (in_size,), and which rows are null. Raise InvalidInput."""
    try:
        return parse_array(value, pointer=INPUT, ndim=2 if depth_of(value) > 1 else 1), None
    except InvalidInput:
        if (filled := fill_null_rows(value, 2, INPUT)) is None:
            raise
        return parse_array(filled.value, pointer=INPUT, ndim=2), left_out_where(filled.is_null, "BF", INPUT)


def step_of_npy(
    data: bytes, session: SessionKey, key: str | None, deadline_s: float | None, query: StepQuery
) -> StepCommand:
    """Return the step of an npy body. Raise MalformedBody or InvalidInput."""
    with of_query(SequenceQuery):
        numbers, readings = load_npy(data, (1, 2))
        steps, layout = _one(numbers)
        return _of_npy(query, session, key, deadline_s, "step", steps, layout, readings)


def read_sequence(body: bytes, session: SessionKey, key: str | None, deadline_s: float | None) -> StepCommand:
    """Return the sequence of a JSON body. Raise MalformedJson or InvalidInput."""
    return sequence_of_json(validated(SequenceRequest, decode(body)), session, key, deadline_s)


def sequence_of_json(
    body: SequenceRequest, session: SessionKey, key: str | None, deadline_s: float | None
) -> StepCommand:
    """Return the sequence of a JSON body that was checked. Raise InvalidInput."""
    given = _checked(body.layout)
    try:
        inputs, flags, layout = _numbers_of_sequence(body.inputs, given)
    except InvalidInput as error:
        written = written_rows(body.inputs, "sequence", given, error, INPUTS)
        if written is None:
            raise
        inputs, flags, layout = written.inputs, written.flags, written.layout
        return _of_json(body, session, key, deadline_s, "sequence", inputs, layout, flags, written)
    return _of_json(body, session, key, deadline_s, "sequence", inputs, layout, flags)


def _numbers_of_sequence(value: Any, given: str | None) -> tuple[Floats, RowFlags | None, str]:
    """Return the numbers of a sequence, which rows are null, and the layout. Raise InvalidInput."""
    layout = given or _by_depth(3 if depth_of(value) > 2 else 2)
    try:
        return parse_layout(value, layout, INPUTS), None, layout
    except InvalidInput:
        if (filled := fill_null_rows(value, None if given is None else len(given), INPUTS)) is None:
            raise
        layout = given or _by_depth(filled.is_null.ndim + 1)
        inputs = parse_layout(filled.value, layout, INPUTS)
        return inputs, left_out_where(filled.is_null, layout, INPUTS), layout


def sequence_of_npy(
    data: bytes, session: SessionKey, key: str | None, deadline_s: float | None, query: SequenceQuery
) -> StepCommand:
    """Return the sequence of an npy body. Raise MalformedBody or InvalidInput."""
    with of_query(SequenceQuery):
        given = _checked(query.layout)
        axes = (2, 3) if given is None else (len(given),)
        inputs, readings = load_npy(data, axes, padded=query.lengths is not None)
        layout = given or _by_depth(inputs.ndim)
        return _of_npy(query, session, key, deadline_s, "sequence", to_tbf(inputs, layout), layout, readings)


def _of_json(
    body: Advance,
    session: SessionKey,
    key: str | None,
    deadline_s: float | None,
    kind: StepKind,
    inputs: Floats,
    layout: str,
    flags: RowFlags | None,
    written: Written | None = None,
) -> StepCommand:
    """Return the command of a JSON body: what steps and sequences have in common."""
    identity, pointer, rows = body.identity(key), INPUT if kind == "step" else INPUTS, body.choice(flags)
    command = StepCommand(
        session, inputs, identity, body.reset, deadline_s, kind, layout, pointer, is_finite=True, rows=rows
    )
    command.scored = body.score
    if written is not None:
        command.readings = written.readings
    return command


def _of_npy(
    query: StepQuery,
    session: SessionKey,
    key: str | None,
    deadline_s: float | None,
    kind: StepKind,
    inputs: Floats,
    layout: str,
    readings: Readings | None,
) -> StepCommand:
    """Return the command of an npy body: what steps and sequences have in common."""
    identity, reset, rows = query.identity(key), query.rows_to_reset, query.choice
    finite = rows is None or rows.lengths is None
    command = StepCommand(
        session, inputs, identity, reset, deadline_s, kind, layout, pointer=None, is_finite=finite, rows=rows
    )
    command.readings = readings
    return command


def _one(inputs: Floats) -> tuple[Floats, str]:
    """Return inputs of one step, (rows, in_size) or (in_size,), as (1, rows, in_size), and their layout."""
    return (inputs[None], ROWS) if inputs.ndim == 2 else (inputs[None, None], ROW)


def _checked(layout: str | None) -> str | None:
    if layout is not None and "F" not in check_layout(layout):
        # Without this letter outputs of several features could not be written, which would show only after the commit.
        raise InvalidInput("no axis of features", pointer="/layout", expected="the letter F", actual=layout)
    return layout


def _by_depth(axes: int) -> str:
    return "TBF" if axes == 3 else "TF"


@contextmanager
def pointing(command: StepCommand) -> Iterator[None]:
    """Make errors of running a command point to the inputs in its body, or to its query."""
    prefix = command.pointer
    if prefix is None:
        with of_query(SequenceQuery):
            yield
        return
    with below(prefix, ShapeMismatch, IdUnknown, TypeMismatch, WholeSequencesOnly):
        yield
