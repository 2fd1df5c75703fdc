"""The strict reading of JSON."""

import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import InvalidInput, MalformedJson, NotFinite
from cellar.wire.json.document import MOST_MEMBERS, decode

MALFORMED = [
    b"",
    b"{",
    b"[1,]",
    b"{'a': 1}",
    b"\xff",
    b"\xef\xbb\xbf\xef\xbb\xbf{}",
    b"\xef\xbb{}",
    b"[" * 100_000,
    b"nan",
    b"01",
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: repr(text[:10]))
def test_what_is_not_json(text: bytes) -> None:
    with pytest.raises(MalformedJson):
        decode(text)


@pytest.mark.parametrize("text", [b'{"a": 1}', b'{"a": ' + b" " * 100_000 + b"1}"], ids=["short", "long"])
def test_a_byte_order_mark_is_passed_over(text: bytes) -> None:
    assert decode(b"\xef\xbb\xbf" + text) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (rb'"\ud800"', ""),
        (rb'{"session": "a\udc00"}', "/session"),
        (rb'{"names": ["a", "\ud83dx"]}', "/names/1"),
        (rb'{"a": [{"\ud800": 1}]}', "/a/0"),
        (b'{"a": "' + 70_000 * b"x" + rb'", "b": "\udfff"}', "/b"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_half_of_a_surrogate_pair_is_no_character(text: bytes, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(text)
    assert caught.value.pointer == pointer
    assert decode(rb'"\ud83d\ude00"') == "\U0001f600"


NOT_FINITE = [
    (b"NaN", ""),
    (b'{"input": [1, NaN]}', "/input/1"),
    (b'{"input": [[Infinity]]}', "/input/0/0"),
    (b'{"a/b": {"~": -Infinity}, "c": NaN}', "/a~1b/~0"),
    (b"[0, 1e400]", "/1"),
    (b"[-1e400]", "/0"),
    (b"[" + b"9" * 5000 + b"]", "/0"),
    (b'["NaN", NaN]', "/1"),
    (b'[[], {}, [[]], "Infinity", Infinity]', "/4"),
]


@pytest.mark.parametrize(("text", "pointer"), NOT_FINITE, ids=lambda value: repr(value[:12]))
def test_numbers_that_json_does_not_have(text: bytes, pointer: str) -> None:
    with pytest.raises(NotFinite) as caught:
        decode(text)
    assert caught.value.pointer == pointer
    assert len(caught.value.detail) < 100


REPEATED = [
    (b'{"step": 1, "step": 1}', "/step", "2 values"),
    (b'{"a": {"b": 1, "c": [], "b": 2, "b": 3}}', "/a/b", "3 values"),
    (b'[1, {"a": 1, "\\u0061": 2}]', "/1/a", "2 values"),
    (b'[{"a": 1}, {"a": ":", "a": {}}]', "/1/a", "2 values"),
]


@pytest.mark.parametrize(("text", "pointer", "actual"), REPEATED, ids=lambda value: repr(value[:16]))
def test_a_member_stands_once(text: bytes, pointer: str, actual: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(text)
    assert (caught.value.pointer, caught.value.actual) == (pointer, actual)


def test_objects_may_share_names_and_texts_may_have_colons() -> None:
    text = b'{"a:b": [{"a": ":"}, {"a": ":::"}], "a": [0, {"a": 1}]}'
    assert decode(text) == json.loads(text)


@pytest.mark.parametrize("text", [b"[NaN", b"[NaN,]", b"NaN" * 3, b"[" * 5000 + b"NaN"])
def test_a_foreign_number_in_malformed_json(text: bytes) -> None:
    with pytest.raises(MalformedJson):
        decode(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert decode(orjson.dumps(value)) == value


@given(VALUES, st.sampled_from(["NaN", "Infinity", "-Infinity", "1e999"]))
def test_the_pointer_leads_to_the_foreign_number(value: Any, number: str) -> None:
    document = {"before": value, "then": [value, "@@", value]}
    text = json.dumps(document, ensure_ascii=False).replace('"@@"', number).encode()
    with pytest.raises(NotFinite) as caught:
        decode(text)
    assert caught.value.pointer == "/then/1"
    assert caught.value.actual == number


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with suppress(MalformedJson, InvalidInput):
        decode(text)


@pytest.mark.parametrize(
    ("text", "pointer"),
    [('{"a": [{}, {"b/": {%s}}]}', "/a/1/b~1"), ("{%s}", ""), ('{"a": [[{"c": 1}, {%s}]]}', "/a/0/1")],
)
def test_an_object_has_a_bounded_number_of_members(text: str, pointer: str) -> None:
    members = [f'"m{number}": {number}' for number in range(MOST_MEMBERS + 1)]
    decode((text % ", ".join(members[:-1])).encode())
    with pytest.raises(InvalidInput) as caught:
        decode((text % ", ".join(members)).encode())
    assert (caught.value.pointer, caught.value.actual) == (pointer, f"one of {MOST_MEMBERS + 1}")
