"""Arrays in temporary files: memory that is written to the disk, so that a process need not keep it.

A page of a mapping counts as memory of the process from its first use until it is released. Then it is in the file, or
in the cache of the operating system, which takes it back when memory is needed.
"""

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 1024 * 1024
"""Bytes that are processed between two releases."""


class FileMapping(mmap.mmap):
    """A shared mapping of a whole file. Only of these mappings may pages be released: a file has the bytes."""


def map_file(descriptor: int, size: int) -> NDArray[np.uint8]:
    """Return a file as an array of `size` bytes, which are reserved on the disk. Raise OSError, ENOSPC for one.

    The descriptor can be closed then.
    """
    if not size:
        return np.empty(0, np.uint8)
    os.posix_fallocate(descriptor, 0, size)  # a mapping cannot report a full disk: the process would get a signal
    return np.frombuffer(FileMapping(descriptor, size), np.uint8)


def release_pages(data: Any) -> None:
    """Take all pages of a mapping out of the process, if bytes or an array are a part of one. Others are kept."""
    while isinstance(data, np.ndarray | memoryview):
        data = data.base if isinstance(data, np.ndarray) else data.obj
    if isinstance(data, FileMapping):
        data.madvise(mmap.MADV_DONTNEED)


def pieces(data: bytes | bytearray | memoryview, size: int = PIECE_BYTES) -> Iterator[memoryview]:
    """Yield bytes piece by piece, at least one, and release the pages of each."""
    whole = memoryview(data).cast("B")
    for begin in range(0, max(1, len(whole)), size):
        yield whole[begin : begin + size]
        release_pages(data)


def sha256(data: bytes | memoryview) -> str:
    """Return the SHA-256 of bytes, in lower-case hex."""
    found = hashlib.sha256()
    for piece in pieces(data):
        found.update(piece)
    return found.hexdigest()


def array_pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the numbers of an array as one-dimensional pieces, and release the pages of each."""
    numbers = array.reshape(-1)
    count = max(1, PIECE_BYTES // array.itemsize)
    for begin in range(0, numbers.size, count):
        yield numbers[begin : begin + count]
        release_pages(array)


def all_finite(array: NDArray[Any]) -> bool:
    """Return whether all numbers of an array are finite."""
    if array.nbytes <= PIECE_BYTES:  # the usual case, in a third of the time
        found = bool(np.isfinite(array).all())
        release_pages(array)
        return found
    return all(bool(np.isfinite(piece).all()) for piece in array_pieces(array))


def copy_into(target: NDArray[Any], source: NDArray[Any]) -> None:
    """Copy an array of any layout into one of the same shape, rows by rows, and release the pages of both."""
    rows = max(1, PIECE_BYTES * len(target) // target.nbytes) if target.ndim and target.nbytes else 0
    for begin in range(0, len(target), rows) if rows else ():
        target[begin : begin + rows] = source[begin : begin + rows]
        release_pages(target)
        release_pages(source)
    if not rows:
        target[...] = source


Memory = Callable[[int], NDArray[np.uint8]]
"""Returns a number of bytes, in memory or in a file. Raise StoreUnavailable if there is no room."""


def in_memory(size: int) -> NDArray[np.uint8]:
    """Return bytes in memory; large ones come from the system, and go back to it."""
    return np.empty(size, np.uint8)
