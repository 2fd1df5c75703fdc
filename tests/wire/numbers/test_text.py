"""Long arrays of numbers, read from their text: the same numbers and the same faults as of decoded lists."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellar.errors import CellarError, InvalidInput, MalformedJson, NotFinite, ShapeMismatch
from cellar.wire.numbers import text as number_text
from cellar.wire.numbers.numbers import parse_array
from cellar.wire.numbers.text import NumberText
from tests.wire.numbers.test_numbers import nested, numbers

MEBIBYTE = 1024 * 1024
LONG = 4 * MEBIBYTE


@pytest.fixture(autouse=True)
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pieces of a few bytes, so that short texts have many."""
    monkeypatch.setattr(number_text, "PIECE_BYTES", 8)


def text_of(text: str) -> NumberText:
    """Return an array of numbers within a body."""
    body = f'{{"a": {text}}}'.encode()
    return NumberText(body, 6, len(body) - 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.sampled_from([None, 1]))
def test_a_text_is_what_its_lists_are(data: st.DataObject, shape: list[int], indent: int | None) -> None:
    count = int(np.prod(shape))
    value = nested(data.draw(st.lists(numbers, min_size=count, max_size=count)), shape)
    text = text_of(json.dumps(value, indent=indent))
    for wanted in ({"shape": shape}, {"ndim": len(shape)}):
        assert parse_array(text, **wanted).tobytes() == parse_array(value, **wanted).tobytes()


ragged: st.SearchStrategy[Any] = st.recursive(numbers, lambda inner: st.lists(inner, max_size=3), max_leaves=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ragged, max_size=4), st.integers(1, 3))
def test_what_is_refused_as_lists_is_refused_as_text(value: list[Any], axes: int) -> None:
    text = text_of(json.dumps(value))
    try:
        expected = parse_array(value, ndim=axes)
    except ShapeMismatch:
        with pytest.raises(ShapeMismatch):
            parse_array(text, ndim=axes)
    else:
        assert parse_array(text, ndim=axes).tobytes() == expected.tobytes()


FAULTS: list[tuple[str, int, type[CellarError], str]] = [
    ("[]", 1, ShapeMismatch, "/a"),
    ("[[1, 2], [3]]", 2, ShapeMismatch, "/a/1"),
    ("[[1], [3, 4]]", 2, ShapeMismatch, "/a/1"),
    ("[[1, 2], []]", 2, ShapeMismatch, "/a/1"),
    ("[[1, 2], 3]", 2, ShapeMismatch, "/a/1"),
    ("[1, 2]", 2, ShapeMismatch, "/a/0"),
    ("[[1, 2], [3, [4]]]", 2, ShapeMismatch, "/a/1/1"),
    ("[[[1]], [[2]], [[3], [4]]]", 3, ShapeMismatch, "/a/2"),
    ("[1, 2, 3, 1e400]", 1, NotFinite, "/a/3"),
    ("[[1, 2], [3, 3.5e38]]", 2, NotFinite, "/a/1/1"),
    ("[[1, 2], [-1" + 400 * "0" + ", 3]]", 2, NotFinite, "/a/1/0"),
]


@pytest.mark.parametrize("before", [0, 1, 20])
@pytest.mark.parametrize(("text", "axes", "kind", "pointer"), FAULTS, ids=lambda value: str(value)[:24])
def test_a_fault_is_found_where_it_is(text: str, axes: int, kind: type[CellarError], pointer: str, before: int) -> None:
    regular = {1: "7", 2: "[7, 8]", 3: "[[7]]"}[axes] if text not in ("[]", "[[1], [3, 4]]", "[1, 2]") else None
    if regular is not None:
        text = "[" + before * f"{regular}, " + text[1:]
        place = pointer.split("/")
        place[2] = str(int(place[2]) + before)
        pointer = "/".join(place)
    with pytest.raises(kind) as caught:
        parse_array(text_of(text), pointer="/a", ndim=axes)
    assert isinstance(caught.value, InvalidInput)
    assert caught.value.pointer == pointer
    assert caught.value.actual


MALFORMED = [
    "[1,, 2]",
    "[1 2]",
    "[1, 2,]",
    "[,1]",
    "[01]",
    "[1.]",
    "[+1]",
    "[-]",
    "[1e]",
    "[[1]2]",
    "[1[2]]",
    "[[1][2]]",
]


@pytest.mark.parametrize("text", [*MALFORMED, "[" + 40 * "1," + ",2]", "[" + 40 * "[1]," + "2[,3]]"])
def test_what_is_no_json(text: str) -> None:
    for axes in (1, 2, 3):
        with pytest.raises((MalformedJson, ShapeMismatch)):
            parse_array(text_of(text), ndim=axes)


def test_a_fixed_size_is_held() -> None:
    text = text_of("[" + ", ".join(50 * ["[1, 2]"]) + "]")
    assert parse_array(text, shape=(50, 2)).shape == (50, 2)
    for shape, pointer in (((50, 3), "/0"), ((49, 2), ""), ((None, 1), "/0")):
        with pytest.raises(ShapeMismatch) as caught:
            parse_array(text, shape=shape)
        assert caught.value.pointer == pointer


WORST = {
    "a number": b"[" + LONG * b"1" + b"]",
    "white space": b"[1," + LONG * b" " + b"2]",
    "depth": LONG // 2 * b"[" + LONG // 2 * b"]",
    "empty arrays": b"[" + LONG // 3 * b"[]," + b"[]]",
    "ones": b"[" + LONG // 2 * b"1," + b"x]",
    "rows": b"[" + LONG // 4 * b"[1]," + b"[1,2]]",
}


@pytest.mark.parametrize("name", WORST)
def test_it_takes_little_memory_whatever_the_text_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_text, "PIECE_BYTES", 64 * 1024)
    body = WORST[name]
    tracemalloc.start()
    try:
        with pytest.raises((MalformedJson, InvalidInput)):
            parse_array(NumberText(body, 0, len(body)), ndim=2)
        assert tracemalloc.get_traced_memory()[1] < 8 * LONG
    finally:
        tracemalloc.stop()
