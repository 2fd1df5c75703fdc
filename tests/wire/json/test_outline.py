"""The names in an object that is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.wire.json.outline import end_of_string, outline

CASES: list[tuple[bytes, dict[str, Any], bool]] = [
    (b"{}", {}, True),
    (b'{"id": 2, "input": [NaN], "seq": 7.0}', {"id": 2, "seq": 7}, True),
    (b'{"input": [1, {"id": 4}], "id": 3, "s": "a"}', {"id": 3, "s": "a"}, True),
    (b'{"id": 2, "id": 1, "s": "a", "s": "b", "t": "c", "t": "c"}', {"id": 1, "s": None, "t": "c"}, True),
    (b'{"a": "\\ud800", "b": "\\u0041\\"", "c": "]}"}', {"b": 'A"', "c": "]}"}, True),
    (b'{"a": "\xff", "b": 1}', {"b": 1}, True),
    (b'{"a": 1e400, "b": -1, "c": true, "d": 123456789012345678901}', {"b": -1}, True),
    (b'{"a": %b, "b": 1}' % (5000 * b"[" + 5000 * b"]"), {"b": 1}, True),
    (b'{"id": 1, "a": [1', {"id": 1}, False),
    (b'{"id": 1} x', {"id": 1}, False),
    (b'{"id": 1, "a": "', {"id": 1}, False),
    (b"", {}, False),
    (b"[1]", {}, False),
    (b'"id"', {}, False),
]


@pytest.mark.parametrize(("body", "members", "readable"), CASES, ids=lambda value: str(value)[:30])
def test_what_is_found(body: bytes, members: dict[str, Any], readable: bool) -> None:
    assert outline(body) == (members, readable)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=6), st.booleans(), st.sampled_from([None, 2]))
def test_it_is_what_a_reader_of_all_finds(document: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    found, readable = outline(json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode())
    assert readable
    assert found == {
        name: value for name, value in document.items() if isinstance(value, str | int) and not isinstance(value, bool)
    }


@given(st.text(), st.text())
def test_a_string_ends_where_it_does(inner: str, behind: str) -> None:
    quoted = json.dumps(inner).encode()
    assert end_of_string(quoted + behind.encode(), 1) == len(quoted)


def test_of_a_body_of_any_content_it_is_done_soon() -> None:
    found, _ = outline(b'{"id": 1, "a": [' + 2_000_000 * b"{}," + b'1], "b": 2}')
    assert found == {"id": 1}
