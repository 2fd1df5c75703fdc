"""Columns in the order of series and time, with one row where several have the same time."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.datasets.faults import fault
from cellar.datasets.options import Duplicates
from cellar.datasets.storage.raw_columns import RawColumns
from cellar.datasets.storage.row_order import SortedRows, sort_rows
from cellar.memory.file_mapping import Memory, release_pages

BLOCK_ROWS = 256 * 1024

MOST_TOGETHER = 2 * BLOCK_ROWS
"""The most rows with the same time that are reduced at once; more are added block by block."""

WINDOW_BYTES = 32 * 1024 * 1024
"""Bytes of a column whose values are picked at a time. Rows in random order touch every page of it."""


class OrderedColumns:
    """The columns of a file. If its rows are sorted already, they are read as they are."""

    def __init__(self, raw: RawColumns, memory: Memory) -> None:
        self._raw = raw
        self._memory = memory
        self._sorted: SortedRows | None = None
        self._keys: dict[int, NDArray[Any]] = {}
        """The columns of series and time in their order, by their numbers."""
        self._is_first: NDArray[np.uint8] | None = None
        """Whether each row begins another time; None if all do."""
        self._rule: Duplicates = "error"
        self.rows = raw.rows

    def sort(self, series: int | None, times: int | None, rule: Duplicates) -> None:
        """Sort by the columns of these numbers. Raise DatasetInvalid for two rows that have the same time."""
        count = self._raw.rows

        def codes() -> Iterator[NDArray[Any]]:
            """Yield the codes of the series."""
            return self._zeros(np.int32) if series is None else self._raw.column(series)

        def seconds() -> Iterator[NDArray[Any]]:
            """Yield the times."""
            return self._zeros(np.float64) if times is None else self._raw.column(times)

        self._rule = rule
        self._sorted = sort_rows(codes, seconds, count, self._memory)
        if series is not None:
            self._keys[series] = self._sorted.codes
        if times is not None:
            self._keys[times] = self._sorted.times
            self._find_duplicates(self._sorted, rule)

    def _zeros(self, kind: type[np.generic]) -> Iterator[NDArray[Any]]:
        for rows in self._raw.chunk_rows:
            yield np.zeros(rows, kind)

    def _find_duplicates(self, found: SortedRows, rule: Duplicates) -> None:
        is_first = self._memory(len(found.rows))
        last: tuple[Any, Any] | None = None
        for begin in range(0, len(found.rows), BLOCK_ROWS):
            here = slice(begin, begin + BLOCK_ROWS)
            codes, times = found.codes[here], found.times[here]
            same = np.zeros(len(times), bool)
            same[1:] = (times[1:] == times[:-1]) & (codes[1:] == codes[:-1])
            same[0] = last == (codes[0], times[0])
            last = codes[-1], times[-1]
            is_first[here] = ~same
            if rule == "error" and same.any():
                at = begin + int(np.flatnonzero(same)[0])
                raise self._duplicate(int(found.rows[at - 1]), int(found.rows[at]))
            for array in (found.codes, found.times, is_first):
                release_pages(array)
        self.rows = sum(int(np.count_nonzero(each)) for each in _blocks(is_first))
        self._is_first = None if self.rows == len(found.rows) else is_first

    def _duplicate(self, first: int, second: int) -> Exception:
        numbers = sorted((self._raw.row_number(first), self._raw.row_number(second)))
        return fault(
            f"the time is that of row {numbers[0]:,} in the same series",
            row=numbers[1],
            remedy="say what to do: duplicates=first, last or mean; or name the column of the series (series=...)",
        )

    def row_number(self, place: int) -> int:
        """Return the number that the row at a place has in the file."""
        if self._is_first is not None:
            place = int(np.flatnonzero(self._is_first)[place])
        return self._raw.row_number(place if self._sorted is None else int(self._sorted.rows[place]))

    def column(self, index: int) -> Iterator[NDArray[Any]]:
        """Yield the parts of a column."""
        if self._sorted is None:
            yield from self._raw.column(index)
            return
        order, keys = self._sorted.rows, self._keys.get(index)
        whole = self._whole(index) if keys is None else keys
        rule: Duplicates = self._rule if keys is None else "first"

        def values(begin: int, end: int) -> NDArray[Any]:
            """Return a copy of the values in these places."""
            found = _picked(whole, order[begin:end]) if keys is None else keys[begin:end].copy()
            for array in (whole, order):
                release_pages(array)
            return found

        begin = 0
        while begin < len(order):
            end = self._end(begin + BLOCK_ROWS)
            if end - begin > MOST_TOGETHER:
                end = self._begin_of_last(begin)
            if end == begin:  # all rows of this block have one time, and more follow
                end = self._end(begin + BLOCK_ROWS)
                yield _value_of_one_time(values, begin, end, rule)
            elif self._is_first is None:
                yield values(begin, end)
            else:
                yield _reduced(values(begin, end), np.flatnonzero(self._is_first[begin:end]), rule)
            begin = end

    def _begin_of_last(self, place: int) -> int:
        """Return the place at which the last time begins in the block that begins at a place."""
        assert self._is_first is not None
        return place + int(np.flatnonzero(self._is_first[place : place + BLOCK_ROWS])[-1])

    def _end(self, place: int) -> int:
        """Return the first place from there on at which another time begins."""
        if self._is_first is None:
            return min(place, self._raw.rows)
        while place < len(self._is_first):
            ahead = np.flatnonzero(self._is_first[place : place + BLOCK_ROWS])
            if ahead.size:
                return place + int(ahead[0])
            place += BLOCK_ROWS
        return len(self._is_first)

    def _whole(self, index: int) -> NDArray[Any]:
        """Return a column in the order of the file, in a temporary file."""
        kind = self._raw.type(index)
        whole = self._memory(self._raw.rows * kind.itemsize).view(kind)
        begin = 0
        for part in self._raw.column(index):
            whole[begin : begin + len(part)] = part
            begin += len(part)
            release_pages(whole)
        return whole


def _picked(whole: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return the values of rows in any order, window by window."""
    window = WINDOW_BYTES // whole.itemsize
    if len(whole) <= window:
        return np.asarray(whole[rows])
    found = np.empty(len(rows), whole.dtype)
    for begin in range(0, len(whole), window):
        here = np.flatnonzero((rows >= begin) & (rows < begin + window))
        found[here] = whole[rows[here]]
        release_pages(whole)
    return found


def _reduced(part: NDArray[Any], starts: NDArray[np.intp], rule: Duplicates) -> NDArray[Any]:
    """Return one value for each group of values that begin at `starts`. The mean of categories is the last one."""
    if rule == "first":
        return part[starts]
    if rule == "mean" and part.dtype.kind == "f":
        present = ~np.isnan(part)
        sums = np.add.reduceat(np.where(present, part, 0).astype(np.float64), starts)
        counts = np.add.reduceat(present.astype(np.int64), starts)
        means: NDArray[Any] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(part.dtype)
        return means
    last: NDArray[Any] = part[np.append(starts[1:], len(part)) - 1]
    return last


def _value_of_one_time(
    values: Callable[[int, int], NDArray[Any]], begin: int, end: int, rule: Duplicates
) -> NDArray[Any]:
    """Return the one value (1,) of all places from `begin` to `end`, as `_reduced`, in blocks."""
    first = values(begin, begin + 1)
    if rule == "first":
        return first
    if rule != "mean" or first.dtype.kind != "f":
        return values(end - 1, end)
    total, count = 0.0, 0
    for at in range(begin, end, BLOCK_ROWS):
        part = values(at, min(at + BLOCK_ROWS, end)).astype(np.float64)
        present = part[~np.isnan(part)]
        total, count = total + float(present.sum()), count + len(present)
    return np.array([total / count if count else np.nan], first.dtype)


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for begin in range(0, len(array), BLOCK_ROWS):
        yield array[begin : begin + BLOCK_ROWS]
