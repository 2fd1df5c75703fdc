"""Columns in the order of their file, while it is read."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.memory.temporary_files import TemporaryFiles, file_errors


class RawColumns:
    """A temporary file with the columns of each chunk, one after the other."""

    def __init__(self, files: TemporaryFiles, types: Sequence[type[np.generic]]) -> None:
        self._file = files.open()
        self._types = [np.dtype(each) for each in types]
        self._chunks: list[tuple[int, int]] = []
        """The offset and the number of rows of each chunk."""
        self._numbers: list[Sequence[int]] = []
        self._size = self.rows = 0

    def append(self, columns: Sequence[NDArray[Any]], numbers: Sequence[int]) -> None:
        """Add the columns of a chunk, and the numbers of its rows. Raise StoreUnavailable."""
        rows = len(columns[0])
        with file_errors():
            for column in columns:
                self._file.write(np.ascontiguousarray(column).data)
        self._chunks.append((self._size, rows))
        self._numbers.append(numbers)
        self._size += sum(each.itemsize for each in self._types) * rows
        self.rows += rows

    @property
    def chunk_rows(self) -> Iterator[int]:
        """The number of rows of each chunk."""
        return (rows for _, rows in self._chunks)

    def type(self, index: int) -> np.dtype[Any]:
        """Return the type of a column."""
        return self._types[index]

    def row_number(self, index: int) -> int:
        """Return the number that a row has in the file."""
        for numbers in self._numbers:
            if index < len(numbers):
                return numbers[index]
            index -= len(numbers)
        raise IndexError(index)

    def column(self, index: int) -> Iterator[NDArray[Any]]:
        """Yield the parts of a column, each of which may be changed."""
        self._file.flush()
        before = sum(each.itemsize for each in self._types[:index])
        kind = self._types[index]
        for offset, rows in self._chunks:
            part = np.empty(rows, kind)
            self._file.seek(offset + before * rows)
            with file_errors():
                self._file.readinto(part.data)  # type: ignore[attr-defined]  # a raw file has it
            yield part

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def __enter__(self) -> "RawColumns":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
