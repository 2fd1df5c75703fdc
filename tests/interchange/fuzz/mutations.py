"""Damage to files: bytes that change, blocks that move or go, numbers that lie, and JSON whose values are others."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import strategies as st

LIES = (0, 1, 127, 128, 255, 2**16 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
"""Numbers that sizes and offsets are replaced by."""

Edit = tuple[str, float, int, int]
"""What is done, where (as a part of the length), with which number, and how many bytes."""

edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "lie", "cut", "copy", "remove"]),
        st.floats(0, 1),
        st.integers(0, 255),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=12,
)


def damaged(data: bytes, changes: list[Edit]) -> bytes:
    """Return bytes after the changes."""
    found = bytearray(data)
    for kind, part, number, count in changes:
        at = min(len(found) - 1, int(part * len(found)))
        if at < 0:
            break
        if kind == "set":
            found[at] = number
        elif kind == "flip":
            found[at] ^= 1 << number % 8
        elif kind == "lie":
            width = (1, 2, 4, 8)[count % 4]
            value = LIES[number % len(LIES)] % 256**width
            found[at : at + width] = value.to_bytes(width, "little")
        elif kind == "cut":
            del found[at:]
        elif kind == "copy":
            start = number * len(found) // 256
            found[at : at + count] = found[start : start + count]
        else:
            del found[at : at + count]
    return bytes(found)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**40),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["", "LSTM", "relu", "gelu", "Sequential", "float16", "\x00", "x" * 300]),
    st.just([]),
    st.just({}),
    st.just([[["gru", 0, 0, {}]]]),
    st.just({"class_name": "Dense", "config": {}}),
)

json_changes = st.lists(st.tuples(st.integers(0, 10**6), values, st.booleans()), min_size=1, max_size=4)


def changed_json(document: Any, changes: list[tuple[int, Any, bool]]) -> Any:
    """Return a document with some of its values replaced, or left out."""
    for number, value, left_out in changes:
        places: list[Callable[[], object]] = []
        _collect(document, copy.deepcopy(value), left_out, places)
        if places:
            places[number % len(places)]()
    return document


def _collect(part: Any, value: Any, left_out: bool, places: list[Callable[[], object]]) -> None:
    """Append what replaces or removes each value below a part."""
    if isinstance(part, dict):
        for key in part:
            places.append(partial(part.pop, key, None) if left_out else partial(part.__setitem__, key, value))
            _collect(part[key], value, left_out, places)
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            places.append(partial(part.pop, index) if left_out else partial(part.__setitem__, index, value))
            _collect(inner, value, left_out, places)
