"""Splits arrays in which other frameworks stack the gates of a cell into its parameters, and stacks them again.

    [torch.arrays]
    weight_ih = { rows = ["Wi_i", "Wi_f", "Wi_g", "Wi_o"] }
    bias_ih = { rows = ["b_i", "b_f", "b_g", "b_o"], optional = true }
    bias_hh = { rows = ["b_i", "b_f", "b_g", "b_o"], optional = true }

`rows` are stacked along the first axis, `columns` along the last and transposed (an array of shape (in, out) of
Keras). Vectors are stacked end to end, whatever `shape` the framework gives the array. A parameter that stands in
several arrays is their sum; one whose arrays are all left out is zero. `"0"` stands for numbers that must be zero.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cellar.cells import NOTHING, Layout, StackedArray
from cellar.interchange.imported import tensor_refused

Array = NDArray[np.float32]
Shape = tuple[int, ...]

ADDS_NOTHING = np.float32(-0.0)
"""x + -0.0 is x to the bit, also where x is 0 or -0."""


def unstack(
    layout: Layout,
    arrays: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    *,
    names: Mapping[str, str] | None = None,
    pointer: str = "/weights",
) -> dict[str, Array]:
    """Return a cell's parameters, of the given native shapes, from the arrays of a framework.

    `arrays` are by the names of the layout; `names` gives those that errors should tell. Raise ImportRefused for an
    array that is missing or has another shape.
    """
    found: dict[str, Array] = {}
    for array in layout.arrays:
        if array.name not in arrays:
            if array.optional:
                continue
            name = (names or {}).get(array.name, array.name)
            shape = str(list(stacked_shape(array, shapes)))
            raise tensor_refused("is missing", name, pointer, expected=shape, actual="no such tensor")
        name = (names or {}).get(array.name, array.name)
        for parameter, part in _parts(array, arrays[array.name], shapes, name, pointer):
            if parameter == NOTHING:
                _check_nothing(part, name, pointer)
                continue
            found[parameter] = part if parameter not in found else found[parameter] + part
    return {name: found[name] if name in found else np.zeros(shape, np.float32) for name, shape in shapes.items()}


def stack(layout: Layout, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays of a framework. `unstack` gives the same weights again, bit for bit.

    A parameter that is the sum of several places stands in the first; the others add nothing.
    """
    taken: set[str] = {NOTHING}
    arrays: dict[str, Array] = {}
    for array in layout.arrays:
        parts = []
        for parameter in array.parts:
            part = weights[array.parts[0] if parameter == NOTHING else parameter]
            parts.append(np.full_like(part, ADDS_NOTHING) if parameter in taken else part)
            taken.add(parameter)
        joined = np.concatenate(parts)
        joined = joined.T if array.transposed else joined
        arrays[array.name] = np.ascontiguousarray(joined if array.shape is None else joined.reshape(array.shape))
    return arrays


def stacked_shape(array: StackedArray, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of an array of a framework, from those of the parameters in it."""
    rows = sum(_heights(array, shapes))
    whole = (rows, *shapes[array.parts[0]][1:])
    if array.shape is not None:
        return np.empty(whole, np.bool_).reshape(array.shape).shape
    return whole[::-1] if array.transposed else whole


def _parts(
    array: StackedArray, value: Array, shapes: Mapping[str, Shape], name: str, pointer: str
) -> list[tuple[str, Array]]:
    """Return each parameter of an array, in order; one may stand there twice."""
    expected = stacked_shape(array, shapes)
    if value.shape != expected:
        remedy = "transpose it" if value.shape == expected[::-1] else None
        raise tensor_refused(
            "has another shape",
            name,
            pointer,
            expected=str(list(expected)),
            actual=str(list(value.shape)),
            remedy=remedy,
        )
    rows = value.T if array.transposed else value
    rows = rows if array.shape is None else rows.reshape(-1)
    ends = np.cumsum(_heights(array, shapes))
    return list(zip(array.parts, np.split(rows, ends[:-1]), strict=True))


def _heights(array: StackedArray, shapes: Mapping[str, Shape]) -> list[int]:
    """Return how many rows each part of an array has."""
    return [shapes[array.parts[0] if part == NOTHING else part][0] for part in array.parts]


def _check_nothing(part: Array, name: str, pointer: str) -> None:
    if part.any():
        raise tensor_refused(
            "has numbers that the cell has no parameter for",
            name,
            pointer,
            expected="zeros there",
            actual=f"{part[part != 0][0]:g}",
        )
