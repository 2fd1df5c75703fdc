"""Converts decoded JSON to float32 arrays, and refuses other values with the place of the first one.

The common case is one flattening, one set of types and one `struct.pack`, which refuses numbers beyond
float32; this takes about a microsecond for eight features. The place of a fault is searched for only if there is one.
"""

import math
import struct
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.wire.numbers.faults import Size
from cellar.wire.numbers.text import NumberText

NUMBER_TYPES = frozenset((float, int))
"""The types of numbers in a document; true and false are none."""
_LISTS = frozenset((list,))
_FLOAT32 = np.dtype("<f4")


class _Packers(dict[int, Callable[..., bytes]]):
    """Functions that pack a number of values as little-endian float32, created once for each number."""

    def __missing__(self, count: int) -> Callable[..., bytes]:
        return struct.Struct(f"<{count}f").pack


PACKERS = _Packers((count, struct.Struct(f"<{count}f").pack) for count in range(257))


def parse_array(
    value: Any, *, pointer: str = "", shape: Sequence[Size] | None = None, ndim: int | None = None
) -> NDArray[np.float32]:
    """Return nested lists of numbers, or the text of them, as a read-only float32 array, C-contiguous.

    `shape` gives the size of each axis, None for any size of at least 1; `ndim` alone leaves all sizes open.
    `pointer` is the JSON pointer of `value` in the request. Raise InvalidInput for an element that is not a number,
    ShapeMismatch for lists that are ragged, too deep, too flat, empty or of the wrong length, and NotFinite
    for numbers that are not finite after rounding to float32; each points at the first faulty element.
    """
    wanted = tuple(shape) if shape is not None else (None,) * (ndim or 0)
    if isinstance(value, NumberText):
        return value.parse(wanted, pointer)
    found = plain_array(value, len(wanted))
    if found is not None and all(want in (None, size) for want, size in zip(wanted, found.shape, strict=True)):
        return found
    raise NumberText.of(value).find_fault(wanted, pointer)


def depth_of(value: Any) -> int:
    """Return in how many arrays the first number is nested, 0 for a value that is not an array."""
    if isinstance(value, NumberText):
        return value.depth()
    depth = 0
    while isinstance(value, list):
        value, depth = (value[0] if value else None), depth + 1
    return depth


def plain_array(value: Any, ndim: int) -> NDArray[np.float32] | None:
    """Return lists of numbers nested `ndim` deep as `parse_array` does, None if that would raise an error."""
    found = _flatten(value, ndim)
    packed = None if found is None else _pack(found[0])
    return None if found is None or packed is None else np.frombuffer(packed, _FLOAT32).reshape(found[1])


def _flatten(value: Any, ndim: int) -> tuple[list[Any], tuple[int, ...]] | None:
    """Return the leaves and the shape of lists nested `ndim` deep, None if they are ragged or not lists."""
    level = [value]
    sizes = []
    for _ in range(ndim):
        if set(map(type, level)) != _LISTS:
            return None
        lengths = set(map(len, level))
        if len(lengths) != 1 or 0 in lengths:
            return None
        sizes.append(lengths.pop())
        level = level[0] if len(level) == 1 else list(chain.from_iterable(level))
    return level, tuple(sizes)


def _pack(flat: list[Any]) -> bytes | None:
    """Return the numbers as little-endian float32, None if one of them is not a finite float32 number."""
    if not NUMBER_TYPES.issuperset(map(type, flat)):
        return None
    try:
        packed = PACKERS[len(flat)](*flat)
    except (OverflowError, struct.error):
        return None
    return packed if math.isfinite(sum(flat)) else None
