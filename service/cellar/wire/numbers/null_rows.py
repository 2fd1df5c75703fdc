"""Replaces null in the place of a row of numbers by zeros, so that arrays with such rows can be parsed as others."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ShapeMismatch
from cellar.wire.numbers.text import NumberText

MOST_TIMES_LONGER = 16
"""How many times as long as the original an array with zeros may be, so that a small body takes little memory."""

FREE = 64 * 1024
"""The numbers that an array with zeros may have however short the original was."""

_ROW = re.compile(rb"\[[^\[\]]*[0-9][^\[\]]*\]|null")
_NUMBERS = re.compile(rb"[\[\], \t\r\n0-9+\-.eE]*+")


@dataclass(frozen=True, slots=True)
class Filled:
    """Nested lists, or their text, without null, and where null was: an element for each row, in all axes but one."""

    value: Any
    is_null: NDArray[np.bool_]


def fill_null_rows(value: Any, axes: int | None, pointer: str) -> Filled | None:
    """Return arrays nested `axes` deep with rows of zeros in place of null; None if there is no null in such a place.

    With `axes` None the depth is that of the first number. The rest is not checked: `parse_array` does that. Raise
    ShapeMismatch if the zeros would be too many.
    """
    if isinstance(value, NumberText):
        return _fill_text(value, axes, pointer)
    axes = axes or _depth(value)
    level, shape = _rows_of(value, axes - 1)
    if any(isinstance(row, NumberText) for row in level):  # in a long body that begins with hundreds of null
        raise _too_many(pointer)
    lists = [row for row in level if isinstance(row, list)]
    nulls = level.count(None)
    if not nulls or not lists or len(lists) + nulls < len(level):
        return None
    size, given = len(lists[0]), sum(map(len, lists)) + nulls
    if len(level) * size > FREE + MOST_TIMES_LONGER * given:
        raise _too_many(pointer)
    is_null = np.array([row is None for row in level]).reshape(shape)
    filled = iter([[0] * size if row is None else row for row in level])
    return Filled(_nest(filled, shape), is_null)


def _depth(value: Any) -> int:
    """Return in how many arrays the deepest element is nested."""
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _rows_of(value: Any, depth: int) -> tuple[list[Any], tuple[int, ...]]:
    """Return the rows in lists nested `depth` deep, and the sizes of these lists; no rows if they are not regular."""
    level, shape = [value], list[int]()
    for _ in range(depth):
        sizes = {len(each) if isinstance(each, list) else -1 for each in level}
        if len(sizes) != 1 or -1 in sizes:
            return [], ()
        shape += sizes
        level = list(chain.from_iterable(level))
    return (level, tuple(shape)) if shape else ([], ())


def _nest(rows: Iterator[Any], shape: tuple[int, ...]) -> Any:
    return [_nest(rows, shape[1:]) for _ in range(shape[0])] if shape else next(rows)


def _fill_text(text: NumberText, axes: int | None, pointer: str) -> Filled | None:
    body = text.body
    if body.find(b"null", text.start, text.stop) < 0:
        return None
    number = re.compile(rb"[0-9]").search(body, text.start, text.stop)
    if number is None:
        return None
    before = body[text.start : number.start()]
    axes = axes or before.count(b"[") - before.count(b"]")
    row = body[body.rindex(b"[", text.start, number.start()) : body.find(b"]", number.start(), text.stop) + 1]
    zeros = b"[%b]" % b",".join([b"0"] * (row.count(b",") + 1))
    nulls = body.count(b"null", text.start, text.stop)
    if nulls * len(zeros) > 2 * FREE + MOST_TIMES_LONGER * (text.stop - text.start):
        raise _too_many(pointer)
    found = body[text.start : text.stop]
    is_null = np.array([token[0] == b"null" for token in _ROW.finditer(found)])
    filled = _ROW.sub(lambda token: zeros if token[0] == b"null" else token[0], found)
    run = _NUMBERS.match(filled)
    end = 0 if run is None else run.end()
    whole = NumberText(filled, 0, len(filled), None if end == len(filled) else end)
    shape = whole.parse((None,) * axes, pointer).shape[:-1]
    return Filled(whole, is_null.reshape(shape))


def _too_many(pointer: str) -> ShapeMismatch:
    return ShapeMismatch(
        "too many rows are null: name those that take part in `rows`, and send their numbers alone", pointer=pointer
    )
