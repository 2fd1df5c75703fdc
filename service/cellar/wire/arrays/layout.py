"""Reorders the axes of arrays between a layout in letters (T steps, B rows, F features) and (T, B, F)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput, ShapeMismatch
from cellar.wire.numbers.numbers import depth_of, parse_array

_AXES = "TBF"


def check_layout(layout: str, *, pointer: str = "/layout") -> str:
    """Return the layout. Raise InvalidInput unless it is one to three of the letters T, B and F in any order."""
    if 0 < len(layout) <= len(_AXES) and len(set(layout)) == len(layout) and set(layout) <= set(_AXES):
        return layout
    raise InvalidInput(
        f"unknown layout {layout[:16]!r}",
        pointer=pointer,
        expected='each of the letters T, B and F at most once, as in "TBF", "FTB" or "TF"',
        actual=layout[:16],
    )


def parse_layout(value: Any, layout: str, pointer: str) -> NDArray[np.float32]:
    """Return nested arrays of a layout as (T, B, F). Raise as `parse_array`, with the depth that it needs."""
    try:
        return to_tbf(parse_array(value, pointer=pointer, ndim=len(layout)), layout)
    except ShapeMismatch as error:
        if depth_of(value) == len(layout):
            raise
        features = ", and an axis F holds a single number or a class index as [2], not as 2" if "F" in layout else ""
        raise ShapeMismatch(
            f"{error.detail}; layout {layout!r} nests an array for each letter{features}",
            pointer=error.pointer,
            expected=error.expected,
            actual=error.actual,
        ) from error


def to_tbf(array: NDArray[np.float32], layout: str) -> NDArray[np.float32]:
    """Return an array of that layout as (T, B, F), C-contiguous; an axis that has no letter becomes size 1.

    Raise InvalidInput for an invalid layout, ShapeMismatch if the array does not have one axis for each letter.
    """
    check_layout(layout)
    if array.ndim != len(layout):
        raise ShapeMismatch(
            f"layout {layout!r} needs {len(layout)} nested arrays, found {array.ndim}",
            expected=f"{len(layout)} nested arrays",
            actual=f"{array.ndim} nested arrays",
        )
    present = [letter for letter in _AXES if letter in layout]
    ordered = array.transpose([layout.index(letter) for letter in present])
    sizes = iter(ordered.shape)
    return np.ascontiguousarray(ordered.reshape([next(sizes) if letter in layout else 1 for letter in _AXES]))


def from_tbf(array: NDArray[np.float32], layout: str) -> NDArray[np.float32]:
    """Return a (T, B, F) array in that layout, C-contiguous; the inverse of `to_tbf`.

    Raise InvalidInput for an invalid layout, ShapeMismatch if it has no letter for an axis that is longer than 1.
    """
    check_layout(layout)
    for letter, size in zip(_AXES, array.shape, strict=True):
        if letter not in layout and size != 1:
            raise ShapeMismatch(
                f"layout {layout!r} has no axis {letter}, and there are {size} along it",
                pointer="/layout",
                expected=f"a layout with the letter {letter}",
                actual=layout,
            )
    squeezed = array.reshape([size for letter, size in zip(_AXES, array.shape, strict=True) if letter in layout])
    present = [letter for letter in _AXES if letter in layout]
    return np.ascontiguousarray(squeezed.transpose([present.index(letter) for letter in layout]))
