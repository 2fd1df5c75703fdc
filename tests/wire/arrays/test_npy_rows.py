"""npy files that are read while they come: whatever the pieces, the array that NumPy wrote."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cellar.errors import CellarError, MalformedBody, NotFinite
from cellar.wire.arrays.npy_rows import NpyRows


def file_of(array: NDArray[np.generic], version: tuple[int, int] = (1, 0)) -> bytes:
    """Return an array as an npy file."""
    file = io.BytesIO()
    npy_format.write_array(file, array, version)
    return file.getvalue()


def read(data: bytes, size: int, *shapes: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """Read a file in pieces."""
    rows, found = NpyRows(*shapes), []
    for start in range(0, len(data), size):
        found += rows.feed(data[start : start + size])
    return found + rows.end()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<i2", "|u1"])
@pytest.mark.parametrize("size", [1, 13, 64, 10_000])
def test_pieces_make_no_difference(version: tuple[int, int], kind: str, size: int) -> None:
    array = np.arange(42).reshape(7, 3, 2).astype(kind)
    found = np.concatenate(read(file_of(array, version), size, (3, 2)))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array)


def test_entries_may_lack_an_axis_of_one() -> None:
    assert [part.shape for part in read(file_of(np.zeros((4, 2), np.float32)), 1000, (2,), (1, 2))] == [(4, 1, 2)]


def test_no_entries() -> None:
    assert read(file_of(np.zeros((0, 2), np.float32)), 50, (2,)) == []


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\x93NUMPY", b"\x93NUMPY\1\0v\0{", b"\x93NUMPY\2\0\xff\xff\xff\xff" * 500]
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_what_is_no_file(data: bytes, size: int) -> None:
    with pytest.raises(MalformedBody):
        read(data, size, (2,))


def test_the_place_of_a_number_counts_from_the_beginning() -> None:
    array = np.zeros((9, 2), np.float32)
    array[7, 1] = np.nan
    with pytest.raises(NotFinite) as caught:
        read(file_of(array), 8, (2,))
    assert caught.value.pointer == "/7/1"


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_behind_a_magic(data: bytes, size: int) -> None:
    try:
        found = read(b"\x93NUMPY\1\0" + data, size, (2,))
    except CellarError:
        return
    assert all(part.shape[1:] == (2,) for part in found)
