"""Sorts rows by series and time in bounded memory, and finds those with the same time."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.memory.file_mapping import Memory, release_pages

RUN_ROWS = 1024 * 1024
"""Rows that are sorted in memory at a time, about 60 bytes each."""

SAMPLES = 64
"""Keys of each run from which the limits of blocks are chosen."""

Parts = Callable[[], Iterator[NDArray[Any]]]
"""Returns the parts of a column in the order of the file."""


def sort_rows(codes: Parts, times: Parts, count: int, memory: Memory) -> NDArray[np.int64]:
    """Return the row of the file that comes in each place, when rows are sorted by series and time.

    Rows with the same series and time stay in the order of the file. The result is mapped from a temporary file.
    """
    sorted_codes = memory(4 * count).view(np.int32)
    sorted_times = memory(8 * count).view(np.float64)
    rows = memory(8 * count).view(np.int64)
    starts = []
    for begin, run_codes, run_times in _runs(codes(), times()):
        order = np.lexsort((run_times, run_codes))
        here = slice(begin, begin + len(order))
        sorted_codes[here], sorted_times[here], rows[here] = run_codes[order], run_times[order], begin + order
        starts.append(begin)
        for array in (sorted_codes, sorted_times, rows):
            release_pages(array)
    if len(starts) == 1:
        return rows
    return _merge(sorted_codes, sorted_times, rows, [*starts, count], memory)


def _runs(codes: Iterator[NDArray[Any]], times: Iterator[NDArray[Any]]) -> Iterator[tuple[int, Any, Any]]:
    """Yield runs of parts, with the row of the first."""
    begin = size = 0
    held: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for pair in zip(codes, times, strict=True):
        held.append(pair)
        size += len(pair[0])
        if size >= RUN_ROWS:
            yield begin, *_joined(held)
            begin, size, held = begin + size, 0, []
    if held:
        yield begin, *_joined(held)


def _joined(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.concatenate([codes for codes, _ in pairs]), np.concatenate([times for _, times in pairs])


def _merge(
    codes: NDArray[np.int32], times: NDArray[np.float64], rows: NDArray[np.int64], starts: list[int], memory: Memory
) -> NDArray[np.int64]:
    """Return the rows of sorted runs in one order: block by block between keys that divide all runs."""
    merged = memory(rows.nbytes).view(np.int64)
    runs = [slice(begin, end) for begin, end in pairwise(starts)]
    at = [run.start for run in runs]
    place = 0
    for limit in [*_limits(codes, times, runs), None]:
        ends = [run.stop if limit is None else _search(codes, times, run, limit) for run in runs]
        pieces = [np.arange(begin, end) for begin, end in zip(at, ends, strict=True)]
        where = np.concatenate(pieces)
        order = np.lexsort((times[where], codes[where]))
        merged[place : place + len(order)] = rows[where[order]]
        place, at = place + len(order), ends
        for array in (codes, times, rows, merged):
            release_pages(array)
    return merged


def _limits(
    codes: NDArray[np.int32], times: NDArray[np.float64], runs: list[slice]
) -> list[tuple[np.int32, np.float64]]:
    """Return keys that divide all rows into blocks of about the size of a run."""
    places = np.concatenate([np.linspace(run.start, run.stop - 1, SAMPLES).astype(np.int64) for run in runs])
    order = np.lexsort((times[places], codes[places]))
    chosen = places[order][SAMPLES::SAMPLES]
    return list(zip(codes[chosen], times[chosen], strict=True))


def _search(
    codes: NDArray[np.int32], times: NDArray[np.float64], run: slice, limit: tuple[np.int32, np.float64]
) -> int:
    """Return the first place of a sorted run whose key is not below a limit."""
    code, time = limit
    low: int = run.start + int(np.searchsorted(codes[run], code, "left"))
    high = run.start + int(np.searchsorted(codes[run], code, "right"))
    return low + int(np.searchsorted(times[low:high], time, "left"))
