"""Decodes steps and sequences from JSON or npy, with their query and Idempotency-Key, into commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

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
    RowFlags,
    SessionKey,
    StepCommand,
    StepKind,
    is_name,
    shown_name,
)
from cellar.sessions.values.row_flags import left_out_where
from cellar.wire.arrays import npy
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
    flags = None
    try:
        inputs = parse_array(body.input, pointer=INPUT, ndim=2 if depth_of(body.input) > 1 else 1)
    except InvalidInput:
        if (filled := fill_null_rows(body.input, 2, INPUT)) is None:
            raise
        inputs = parse_array(filled.value, pointer=INPUT, ndim=2)
        flags = left_out_where(filled.is_null, "BF", INPUT)
    steps, layout = _one(inputs)
    return _of_json(body, session, key, deadline_s, "step", steps, layout, flags)


def step_of_npy(
    data: bytes, session: SessionKey, key: str | None, deadline_s: float | None, query: StepQuery
) -> StepCommand:
    """Return the step of an npy body. Raise MalformedBody or InvalidInput."""
    with of_query(SequenceQuery):
        steps, layout = _one(npy.load(data, axes=(1, 2)))
        return _of_npy(query, session, key, deadline_s, "step", steps, layout)


def read_sequence(body: bytes, session: SessionKey, key: str | None, deadline_s: float | None) -> StepCommand:
    """Return the sequence of a JSON body. Raise MalformedJson or InvalidInput."""
    return sequence_of_json(validated(SequenceRequest, decode(body)), session, key, deadline_s)


def sequence_of_json(
    body: SequenceRequest, session: SessionKey, key: str | None, deadline_s: float | None
) -> StepCommand:
    """Return the sequence of a JSON body that was checked. Raise InvalidInput."""
    given, flags = _checked(body.layout), None
    layout = given or _by_depth(3 if depth_of(body.inputs) > 2 else 2)
    try:
        inputs = parse_layout(body.inputs, layout, INPUTS)
    except InvalidInput:
        if (filled := fill_null_rows(body.inputs, None if given is None else len(given), INPUTS)) is None:
            raise
        layout = given or _by_depth(filled.is_null.ndim + 1)
        inputs = parse_layout(filled.value, layout, INPUTS)
        flags = left_out_where(filled.is_null, layout, INPUTS)
    return _of_json(body, session, key, deadline_s, "sequence", inputs, layout, flags)


def sequence_of_npy(
    data: bytes, session: SessionKey, key: str | None, deadline_s: float | None, query: SequenceQuery
) -> StepCommand:
    """Return the sequence of an npy body. Raise MalformedBody or InvalidInput."""
    with of_query(SequenceQuery):
        given = _checked(query.layout)
        axes = (2, 3) if given is None else (len(given),)
        inputs: Floats = npy.load(data, axes=axes, padded=query.lengths is not None)
        layout = given or _by_depth(inputs.ndim)
        return _of_npy(query, session, key, deadline_s, "sequence", to_tbf(inputs, layout), layout)


def _of_json(
    body: Advance,
    session: SessionKey,
    key: str | None,
    deadline_s: float | None,
    kind: StepKind,
    inputs: Floats,
    layout: str,
    flags: RowFlags | None,
) -> StepCommand:
    """Return the command of a JSON body: what steps and sequences have in common."""
    identity, pointer, rows = body.identity(key), INPUT if kind == "step" else INPUTS, body.choice(flags)
    return StepCommand(
        session, inputs, identity, body.reset, deadline_s, kind, layout, pointer, is_finite=True, rows=rows
    )


def _of_npy(
    query: StepQuery,
    session: SessionKey,
    key: str | None,
    deadline_s: float | None,
    kind: StepKind,
    inputs: Floats,
    layout: str,
) -> StepCommand:
    """Return the command of an npy body: what steps and sequences have in common."""
    identity, reset, rows = query.identity(key), query.rows_to_reset, query.choice
    finite = rows is None or rows.lengths is None
    return StepCommand(
        session, inputs, identity, reset, deadline_s, kind, layout, pointer=None, is_finite=finite, rows=rows
    )


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
