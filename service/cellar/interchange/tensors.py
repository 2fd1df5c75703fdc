"""Converts arrays of files to float32 if that is exact; otherwise the error names the array."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused
from cellar.nn.model.network import MAX_PARAMETERS

Array = NDArray[np.float32]


def check_size(shape: Sequence[int], place: str) -> None:
    """Raise ImportRefused for a shape of more numbers than a network may have, before anything of it is read."""
    numbers = 1
    for size in shape:
        numbers *= int(size)
    if numbers > MAX_PARAMETERS:
        raise ImportRefused(
            f"the array {place!r} is too large",
            place=place,
            expected=f"at most {MAX_PARAMETERS} numbers",
            actual=str(list(shape)),
        )


def float32_array(array: NDArray[Any], place: str) -> Array:
    """Return an array as float32 without rounding. Raise ImportRefused for other types and for NaN or infinity."""
    if array.dtype.kind != "f":
        raise ImportRefused(
            f"the array {place!r} holds no real numbers", place=place, expected="float32", actual=str(array.dtype)
        )
    with np.errstate(over="ignore", invalid="ignore"):
        found: Array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        at = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ImportRefused(
            f"the array {place!r} holds a number that is not finite",
            place=place,
            expected="finite float32 numbers",
            actual=f"{array[tuple(at)]} at {at}",
        )
    if array.dtype.itemsize > found.dtype.itemsize and not np.array_equal(found, array):
        raise ImportRefused(
            f"the array {place!r} is {array.dtype}, and not all its numbers are float32 numbers",
            place=place,
            expected="float32",
            actual=str(array.dtype),
            remedy="convert the weights to float32 before saving them",
        )
    return found.reshape(array.shape)
