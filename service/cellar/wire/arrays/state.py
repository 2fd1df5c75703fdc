"""Converts states to the bytes in which Redis stores them: float32, little endian, (rows, size) in C order."""

import numpy as np
from numpy.typing import NDArray

from cellar.errors import StoreCorrupt


def dump(state: NDArray[np.float32]) -> bytes:
    """Return a state of any shape as bytes in C order."""
    return np.ascontiguousarray(state, dtype="<f4").tobytes()


def load(data: bytes, rows: int, size: int) -> NDArray[np.float32]:
    """Return the state (rows, size) of bytes from `dump`, read-only. Raise StoreCorrupt if the length is another."""
    if len(data) != 4 * rows * size:
        raise StoreCorrupt(f"a state of {rows} rows of {size} numbers is {4 * rows * size} bytes, found {len(data)}")
    return np.frombuffer(data, dtype="<f4").reshape(rows, size)
