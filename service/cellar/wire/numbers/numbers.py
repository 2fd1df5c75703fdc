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

from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.wire.numbers.faults import NO_QUOTES, Size, elements
from cellar.wire.numbers.text import NumberText

_NUMBERS = frozenset((float, int))
_LISTS = frozenset((list,))
_FLOAT32_BITS = 128
"""Integers with fewer bits are within the range of float32."""

_FLOAT32 = np.dtype("<f4")


class _Packers(dict[int, Callable[..., bytes]]):
    """Functions that pack a number of values as little-endian float32, created once for each number."""

    def __missing__(self, count: int) -> Callable[..., bytes]:
        return struct.Struct(f"<{count}f").pack


_PACKERS = _Packers((count, struct.Struct(f"<{count}f").pack) for count in range(257))


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
    raise _fault(value, wanted, pointer)


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


def plain_row(values: list[Any]) -> NDArray[np.float32] | None:
    """Return a list of a JSON document as one row of one step, (1, 1, F), None if it is empty or has other elements.

    Nearly all steps have this form. `parse_array` takes three times as long, and checks for infinite numbers, which
    JSON does not have; numbers beyond float32 are refused when they are packed.
    """
    if not values or not _NUMBERS.issuperset(map(type, values)):
        return None
    count = len(values)
    try:
        return np.ndarray((1, 1, count), _FLOAT32, _PACKERS[count](*values))
    except (OverflowError, struct.error):
        return None


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
    if not _NUMBERS.issuperset(map(type, flat)):
        return None
    try:
        packed = _PACKERS[len(flat)](*flat)
    except (OverflowError, struct.error):
        return None
    return packed if math.isfinite(sum(flat)) else None


def _fault(value: Any, wanted: Sequence[Size], pointer: str) -> InvalidInput:
    """Return the error for the first fault in document order."""
    fault = _search(value, list(wanted), 0, pointer)
    if fault is None:
        raise AssertionError("the fast path refused what the search accepts")
    return fault


def _search(value: Any, wanted: list[Size], axis: int, pointer: str) -> InvalidInput | None:
    """Search below `value`. An axis of open size gets that of its first list, and later lists must have the same."""
    if axis == len(wanted):
        return _check_number(value, pointer)
    if type(value) is not list:
        expected = "an array of numbers" if axis == len(wanted) - 1 else "an array of arrays"
        return ShapeMismatch(
            f"expected {len(wanted)} nested arrays, found {_describe(value)} at depth {axis}",
            pointer=pointer,
            expected=expected,
            actual=_describe(value),
        )
    if wanted[axis] is None and value:
        wanted[axis] = len(value)
    want = wanted[axis]
    if len(value) != want:
        expected = "at least 1 element" if want is None else elements(want)
        return ShapeMismatch(
            f"expected {expected}, found {len(value)}",
            pointer=pointer,
            expected=expected,
            actual=elements(len(value)),
        )
    if axis == len(wanted) - 1 and _pack(value) is not None:
        return None
    faults = (_search(item, wanted, axis + 1, f"{pointer}/{index}") for index, item in enumerate(value))
    return next((fault for fault in faults if fault is not None), None)


def _check_number(value: Any, pointer: str) -> InvalidInput | None:
    if type(value) is list:
        return ShapeMismatch(
            "expected a number, found an array", pointer=pointer, expected="a number", actual="an array"
        )
    if type(value) not in _NUMBERS:
        actual = _describe(value)
        detail = f"expected a number, found {actual}" + (NO_QUOTES if type(value) is str else "")
        return InvalidInput(detail, pointer=pointer, expected="a number", actual=actual)
    if _pack([value]) is None:
        expected = "a finite number within the range of float32"
        return NotFinite(f"expected {expected}", pointer=pointer, expected=expected, actual=_describe(value))
    return None


def _describe(value: Any) -> str:
    """Describe a JSON value in a few words, a number only by its magnitude, because inputs may be private."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "infinity" if math.isinf(value) else f"about {value:.1e}"
    if isinstance(value, int):
        bits = value.bit_length()
        return f"an integer of {bits} bits" if bits >= _FLOAT32_BITS else "an integer"
    names: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)
