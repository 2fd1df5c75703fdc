"""Copies arguments of a network's call into the layout that the native code reads, if they have another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine.execution.arrays import Floats, Ints
from cellar.engine.execution.invocation import clipped
from cellar.errors import ShapeMismatch

Mask = NDArray[np.bool_]

States = Floats | Sequence[bytes]
"""States of B rows: an array (B, S), or records of little-endian float32 that hold one row or more each, B rows in all.
If S is 0, records are empty, and any number of them is accepted."""

FLOAT32, INT32, BOOL = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)
"""NumPy's dtype objects, which the native code compares by address."""


def dense_copy(name: str, array: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a copy of an array, rows side by side. Raise ShapeMismatch."""
    if array.shape != shape:
        raise shape_mismatch(name, array, str(shape))
    found: Floats = np.empty(shape, FLOAT32)
    found[...] = array
    return found


def dense_state(state: States, rows: int, size: int) -> Floats | tuple[bytes, ...]:
    """Return a copy of a state, or a tuple of its records. Raise ShapeMismatch."""
    if isinstance(state, np.ndarray):
        return dense_copy("state", state, (rows, size))
    records = tuple(state)  # a list could change while it is read
    dense = joined_state(records, rows, size)
    return records if all(type(record) is bytes for record in records) else dense


def joined_state(records: Sequence[bytes], rows: int, size: int) -> Floats:
    """Return records as an array (B, S). Raise ShapeMismatch."""
    sizes = [memoryview(record).nbytes for record in records]
    if sum(sizes) != 4 * size * rows or any(nbytes % (4 * size) for nbytes in sizes if size):
        raise ShapeMismatch(
            "records of states",
            expected=f"{rows} rows of {4 * size} bytes",
            actual=f"{sum(sizes)} bytes in {len(sizes)}",
        )
    return dense_copy("state", np.frombuffer(b"".join(records), "<f4").reshape(rows, size), (rows, size))


def dense_lengths(lengths: Ints, steps: int, rows: int) -> Ints:
    """Return a copy of lengths, within the steps. Raise ShapeMismatch."""
    found: Ints = np.empty(rows, INT32)
    found[:] = clipped(lengths, steps, rows)
    return found


def dense_reset(reset: Mask, rows: int) -> Mask:
    """Return a copy of a mask of rows. Raise ShapeMismatch."""
    found: Mask = np.empty(rows, BOOL)
    if np.shape(reset) != found.shape:
        raise ShapeMismatch("rows to reset", expected=f"({rows},)", actual=str(np.shape(reset)))
    found[:] = reset
    return found


def shape_mismatch(name: str, array: NDArray[Any], expected: str) -> ShapeMismatch:
    """Return the error for an array of another shape."""
    return ShapeMismatch(f"the {name} have another shape", expected=expected, actual=str(array.shape))
