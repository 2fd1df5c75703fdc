"""Npy files in memory."""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cellar_client.arrays.inputs import Floats, as_floats

MEDIA_TYPE = "application/x-npy"

PART_BYTES = 2**18


def dump(array: Floats) -> bytes:
    """Return an array as an npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def parts(array: NDArray[np.number]) -> Iterator[bytes]:
    """Yield the parts of an npy file of float32. An array that is mapped to a file is read part by part."""
    head = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(head, shape)
    yield head.getvalue()
    rows = max(1, PART_BYTES // (4 * max(1, array[:1].size)))
    for first in range(0, len(array), rows):
        yield as_floats(array[first : first + rows]).tobytes()


def load(content: bytes) -> Floats:
    """Return the array of an npy file. Raise ValueError."""
    array: Floats = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array
