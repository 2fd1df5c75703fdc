"""Npy files in memory."""

import io

import numpy as np
from numpy.typing import NDArray

MEDIA_TYPE = "application/x-npy"

Floats = NDArray[np.float32]


def dump(array: Floats) -> bytes:
    """Return an array as an npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def load(content: bytes) -> Floats:
    """Return the array of an npy file. Raise ValueError."""
    array: Floats = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array
