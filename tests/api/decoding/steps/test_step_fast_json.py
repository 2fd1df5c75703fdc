"""Plain steps are read by hand to what the models make of them, and everything else is left to the models."""

import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cellar.api.decoding.steps.step_fast_json import plain_object, plain_row, plain_rows, plain_step, read_step
from cellar.api.decoding.steps.step_input import step_of_json
from cellar.api.http.body import validated
from cellar.api.schemas.session.steps import StepRequest
from cellar.errors import CellarError, InvalidInput
from cellar.ports import SessionKey, StepCommand
from cellar.sessions.values.position import MAX_STEP
from cellar.wire.json.document import decode
from cellar.wire.numbers.numbers import parse_array

SESSION = SessionKey("default", "s")

POSITION = "0123456789abcdef.7.000102030405060708090a0b0c0d0e0f"

numbers = st.one_of(st.floats(-3e38, 3e38), st.integers(-(2**70), 2**70), st.just(-0.0))
rows = st.integers(1, 3).flatmap(lambda size: st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=1))
strange: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.0, 1e39, 2**53 + 1, 2**64, "", "a", "a:b", "é", POSITION, [], [None], [[]], [True, 1], {}]
)

MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "input": st.lists(numbers, min_size=1, max_size=4) | rows,
    "position": st.just(POSITION),
    "step": st.integers(0, MAX_STEP),
    "writer": st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True).filter(lambda name: name not in (".", "..")),
    "seq": st.integers(1, MAX_STEP),
    "reset": st.booleans() | st.lists(st.booleans(), max_size=3),
}

right = st.fixed_dictionaries({"input": MEMBERS["input"]}, optional={k: v for k, v in MEMBERS.items() if k != "input"})
wrong = st.dictionaries(st.sampled_from([*MEMBERS, "other"]), strange, max_size=3)
keys = st.none() | st.just("key")


def by_hand(body: bytes, key: str | None) -> StepCommand:
    return read_step(body, SESSION, key, 0.5)


def by_the_models(body: bytes, key: str | None) -> StepCommand:
    return step_of_json(validated(StepRequest, decode(body)), SESSION, key, 0.5)


def outcome(read: Any, body: bytes, key: str | None) -> Any:
    """Return all that is known of what was read, or of the error."""
    try:
        command = read(body, key)
    except CellarError as error:
        return type(error), error.detail, error.fields()
    rest = [getattr(command, field.name) for field in fields(command) if field.name != "inputs"]
    return command.inputs.shape, command.inputs.tobytes(), rest


@given(right, keys)
def test_what_is_plainly_right_needs_no_model(document: dict[str, Any], key: str | None) -> None:
    body = json.dumps(document).encode()
    found = plain_object(body)
    assert found is not None
    assert plain_step(found, SESSION, key, None) is not None
    assert outcome(by_hand, body, key) == outcome(by_the_models, body, key)


@given(right, wrong, keys)
def test_anything_else_is_read_as_the_models_say(
    document: dict[str, Any], other: dict[str, Any], key: str | None
) -> None:
    body = json.dumps({**document, **other}).encode()
    assert outcome(by_hand, body, key) == outcome(by_the_models, body, key)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"input"', b'{"input":[1e39]}', b'{"input":[NaN]}', b'{"input":[1e999]}'),
        *(b'{"input":[1],"input":[1]}', b'{"input":[1],"step":1,"step":1}', b'{"input":[1],"writer":"a:b"}'),
        *(b'{"input":[[{"a":1}]]}', b'{"input":[[{}]]}', b'{"input":[1],"a:":1}', b'\xef\xbb\xbf{"input":[1]}'),
        *(b'{"input":[1],"position":7}', b'{"input":[1],"position":"x"}', b'{"input":[],"position":"x"}'),
        *(b'{"input":[1],"seq":0}', b'{"input":[1],"writer":"a\\n"}', b'{"input":[1],"step":true}'),
        *(b'{"input":[1],"step":null}', b'{"input":[[1],[2,3]]}', b'{"input":[[[1]]]}', b'{"input":[1,[2]]}'),
    ],
)
def test_faults_are_told_as_the_models_tell_them(body: bytes) -> None:
    assert outcome(by_hand, body, None) == outcome(by_the_models, body, None)


def test_members_that_somebody_else_reads_are_left_alone() -> None:
    document = {"session": "s", "input": [1], "step": 7}
    assert plain_step(document, SESSION, None, None) is None
    command = plain_step(document, SESSION, None, None, others=1)
    assert command is not None
    assert command.identity.step == 7


any_numbers = numbers | st.sampled_from([0, 5e-324, 1e-45, 2**127])
faulty: st.SearchStrategy[Any] = st.sampled_from([True, None, "1", {}, 1e39, 10**400, -(2**128)])


@given(
    st.lists(any_numbers, max_size=6) | st.lists(any_numbers | faulty | st.lists(any_numbers, max_size=2), max_size=4)
)
def test_a_row_is_what_any_array_is_and_nothing_where_that_is_refused(values: list[Any]) -> None:
    assume(not any(isinstance(value, float) and not math.isfinite(value) for value in values))  # nor has JSON
    row = plain_row(values)
    try:
        parsed = parse_array(values, ndim=1)
    except InvalidInput:
        assert row is None
    else:
        assert row is not None
        assert (row.shape, row.tobytes()) == ((1, 1, len(values)), parsed.tobytes())
        assert row.flags.c_contiguous
        assert not row.flags.writeable


@given(st.lists(st.lists(any_numbers | faulty, max_size=2), max_size=3))
def test_rows_that_are_converted_together_have_the_bits_of_each(lists: list[list[Any]]) -> None:
    found, each = plain_rows(lists), [plain_row(values) for values in lists]
    known = [(row.shape, row.tobytes()) for row in each if row is not None]
    if found is not None:
        assert [(row.shape, row.tobytes()) for row in found] == known
    else:
        assert len(known) < len(lists) or len({len(values) for values in lists}) != 1
