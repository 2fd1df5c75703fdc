"""Rows that are null: replaced by zeros, in lists and in text, and refused where they would be too many."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from cellar.errors import InvalidInput, ShapeMismatch
from cellar.wire.numbers.null_rows import fill_null_rows
from cellar.wire.numbers.numbers import parse_array
from cellar.wire.numbers.text import NumberText

ROWS: list[tuple[Any, int | None]] = [
    ([[1, 2], None, [3, 4]], 2),
    ([None, [1, 2]], 2),
    ([None, [1, 2], None], None),
    ([[[1, 2], None], [None, None], [None, [3, 4]]], 3),
    ([[None, None], [[1, 2.5], None]], None),
]


def text_of(value: Any) -> NumberText:
    """Return the text of an array inside a body, with white space."""
    body = b'{"a": ' + json.dumps(value, indent=1).encode() + b"}"
    return NumberText(body, 6, len(body) - 1, body.index(b"n") if b"null" in body else None)


@pytest.mark.parametrize(("value", "axes"), ROWS)
@pytest.mark.parametrize("as_text", [False, True])
def test_rows_of_zeros_stand_for_null(value: Any, axes: int | None, as_text: bool) -> None:
    found = fill_null_rows(text_of(value) if as_text else value, axes, "/inputs")
    assert found is not None
    depth = found.is_null.ndim + 1
    array = parse_array(found.value, ndim=depth)
    expected = np.array(json.loads(json.dumps(value).replace("null", "[0, 0]")), np.float32)
    assert array.tolist() == expected.tolist()
    flat = value if depth == 2 else [row for step in value for row in step]
    assert found.is_null.ravel().tolist() == [row is None for row in flat]
    assert found.is_null.shape == expected.shape[:-1]


@pytest.mark.parametrize(
    "value", [[[1, 2], [3, 4]], [1, None], [[1, None], [2, 3]], [None, None], [None, 1], [], None, 3]
)
@pytest.mark.parametrize("as_text", [False, True])
def test_other_values_are_left_to_the_parser(value: Any, as_text: bool) -> None:
    with suppress(InvalidInput):  # the parser has refused the text
        assert fill_null_rows(text_of(value) if as_text else value, 2, "/inputs") is None


@pytest.mark.parametrize("as_text", [False, True])
def test_a_short_array_takes_little_memory(as_text: bool) -> None:
    value = [list(range(300)), *[None] * 20_000]
    with pytest.raises(ShapeMismatch) as caught:
        fill_null_rows(text_of(value) if as_text else value, 2, "/input")
    assert caught.value.pointer == "/input"
