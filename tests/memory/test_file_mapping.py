"""Arrays in temporary files keep their bytes when their pages are released, and take no memory then."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cellar.memory.file_mapping import (
    PIECE_BYTES,
    all_finite,
    array_pieces,
    copy_into,
    in_memory,
    map_file,
    pieces,
    release_pages,
    sha256,
)
from cellar.wire.arrays.weights import Array

SIZE = 32 * 1024 * 1024


def mapped(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    with tempfile.TemporaryFile() as file:
        return map_file(file.fileno(), size)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("view", ["array", "part", "bytes"])
def test_pages_are_released_through_every_view(view: str) -> None:
    array = mapped(SIZE)
    array[:] = 7
    before = resident()
    part = array[64:].view(np.float32).reshape(-1, 16)[3:]
    release_pages({"array": array, "part": part, "bytes": part.data.cast("B")[5:]}[view])
    assert resident() < before - SIZE // 2
    assert (array == 7).all()


def test_other_memory_is_never_released() -> None:
    array = in_memory(SIZE)
    array[:] = 7
    release_pages(array)
    release_pages(array.data)
    release_pages(b"bytes")
    assert (array == 7).all()


def test_an_empty_file() -> None:
    assert mapped(0).size == 0


def test_no_room_is_an_error_and_no_signal() -> None:
    with tempfile.TemporaryFile() as file, pytest.raises(OSError, match=r"space|large"):
        map_file(file.fileno(), 2**60)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1])
def test_pieces_are_the_whole(size: int) -> None:
    data = np.random.default_rng(0).bytes(size)
    assert b"".join(pieces(data)) == data
    assert sha256(data) == hashlib.sha256(data).hexdigest()
    numbers = np.frombuffer(data, np.uint8)
    assert b"".join(piece.tobytes() for piece in array_pieces(numbers)) == data


@pytest.mark.parametrize("place", [0, 300_000, 599_999])
@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite(place: int, fault: float) -> None:
    array = np.ones((3, 200_000), np.float32)
    assert all_finite(array)
    array.flat[place] = fault
    assert not all_finite(array)


def test_no_numbers_are_finite() -> None:
    assert all_finite(np.empty((0, 3), np.float32))
    assert all_finite(np.ones((), np.float32))


@pytest.mark.parametrize("shape", [(), (0,), (5,), (0, 3), (3, 0), (1000, 700), (1, 600_000)])
def test_copies(shape: tuple[int, ...]) -> None:
    source: Array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    target = np.empty(shape, np.float32)
    copy_into(target, source)
    np.testing.assert_array_equal(target, source)
    other = np.empty(shape[::-1], np.float32)
    copy_into(other, source.T)
    np.testing.assert_array_equal(other, source.T)
