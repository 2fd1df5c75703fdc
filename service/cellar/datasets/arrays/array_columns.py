"""Columns that are arrays, read part by part."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cellar.datasets.faults import fault
from cellar.datasets.source import UNDECLARED, Cells, Chunk, check_names, rows_at_once
from cellar.memory.file_mapping import release_pages

KINDS = "fiubMUS"
"""Types of numbers, truth values, times and texts. Others, Python objects among them, are refused."""


class ArrayColumns:
    """A Source of arrays of one axis and the same length. Rows count from 1."""

    decimal: Literal[".", ","] = "."
    declared = UNDECLARED

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Raise DatasetInvalid for arrays that are no columns of one table."""
        if not columns:
            raise fault("the file has no arrays")
        self._rows = len(next(iter(columns.values())))
        for name, column in columns.items():
            if column.dtype.kind not in KINDS:
                raise fault(f"values of the type {column.dtype} are no readings", column=name)
            if column.ndim != 1 or len(column) != self._rows:
                raise fault(
                    f"an array of the shape {list(column.shape)}, beside one of {self._rows} rows", column=name,
                    remedy="send one value of each column for each row",
                )  # fmt: skip
        self._columns = columns
        self.names = tuple(columns)
        check_names(self.names)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows."""
        count = rows_at_once(len(self.names))
        for begin in range(0, self._rows, count):
            end = min(begin + count, self._rows)
            cells = [_cells(name, column[begin:end], begin + 1) for name, column in self._columns.items()]
            yield Chunk(range(begin + 1, end + 1), cells)
            for column in self._columns.values():
                release_pages(column)


def _cells(name: str, part: NDArray[Any], first_row: int) -> Cells:
    """Return numbers and times as they are, and texts as a list. Raise DatasetInvalid for an invalid text."""
    if part.dtype.kind == "S":
        found: list[str] = np.char.decode(part, "utf-8", "replace").tolist()
        return found
    if part.dtype.kind == "U":
        if part.dtype.itemsize:
            _check_characters(name, part, first_row)
        texts: list[str] = part.tolist()
        return texts
    return part.astype(np.float64) if part.dtype.kind == "b" else part


def _check_characters(name: str, part: NDArray[Any], first_row: int) -> None:
    """Raise DatasetInvalid for a character that is not in Unicode, or half of a surrogate pair."""
    codes = np.ascontiguousarray(part, part.dtype.newbyteorder("=")).view(np.uint32).reshape(len(part), -1)
    wrong = ((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any(axis=1)
    if wrong.any():
        raise fault("the text has a character that Unicode has not", row=first_row + int(wrong.argmax()), column=name)


def named(array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the columns of an array: its fields, or those of its second axis as column_1, column_2, ..."""
    if array.dtype.names is not None:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim == 1:
        return {"column_1": array}
    if array.ndim != 2:
        raise fault(f"an array of the shape {list(array.shape)}", remedy="send one with rows and columns")
    return {f"column_{number + 1}": array[:, number] for number in range(array.shape[1])}
