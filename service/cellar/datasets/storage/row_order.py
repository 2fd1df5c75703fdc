"""Sorts rows by series and time in bounded memory, and finds those with the same time."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.memory.file_mapping import Memory, release_pages

RUN_ROWS = 1024 * 1024
"""Rows that are sorted in memory at a time, about 60 bytes each."""

SAMPLES = 64
"""Keys of each run from which the limits of blocks are chosen."""

BLOCKS = 4
"""Blocks that are merged for each run: one has about a quarter of its rows."""

Key = tuple[np.int32, np.float64]
"""The series and the time of a row."""

Parts = Callable[[], Iterator[NDArray[Any]]]
"""Returns the parts of a column in the order of the file."""


class SortedRows(NamedTuple):
    """Rows in the order of series and time, mapped from temporary files. Read all three from begin to end."""

    rows: NDArray[np.int64]
    """The row of the file that comes in each place."""
    codes: NDArray[np.int32]
    """Its series."""
    times: NDArray[np.float64]


def sort_rows(codes: Parts, times: Parts, count: int, memory: Memory) -> SortedRows:
    """Return the rows sorted by series and time. Those with the same series and time stay in the order of the file."""
    runs = _allocated(count, memory)
    starts, samples = [], []
    for begin, run_codes, run_times in _runs(codes(), times()):
        order = np.lexsort((run_times, run_codes))
        here = slice(begin, begin + len(order))
        runs.codes[here], runs.times[here], runs.rows[here] = run_codes[order], run_times[order], begin + order
        starts.append(begin)
        sample = order[np.linspace(0, len(order) - 1, SAMPLES).astype(np.int64)]
        samples.append((run_codes[sample], run_times[sample]))
        for array in runs:
            release_pages(array)
    return runs if len(starts) == 1 else _merge(runs, [*starts, count], _limits(samples), memory)


def _allocated(count: int, memory: Memory) -> SortedRows:
    return SortedRows(
        memory(8 * count).view(np.int64), memory(4 * count).view(np.int32), memory(8 * count).view(np.float64)
    )


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


def _merge(sorted_runs: SortedRows, starts: list[int], limits: list[Key], memory: Memory) -> SortedRows:
    """Return the rows of sorted runs in one order: block by block between keys that divide all runs."""
    merged = _allocated(len(sorted_runs.rows), memory)
    runs = [slice(begin, end) for begin, end in pairwise(starts)]
    at = [run.start for run in runs]
    place = 0
    for limit in [*dict.fromkeys(limits), None]:
        found = [(run.stop, run.stop) if limit is None else _search(sorted_runs, run, limit) for run in runs]
        ends = [begin for begin, _ in found]
        block = _taken(sorted_runs, at, ends)
        order = np.lexsort((block.times, block.codes))
        place = _put(merged, place, SortedRows(block.rows[order], block.codes[order], block.times[order]))
        for begin, end in found:  # all rows may have this key: they stay in the order of the runs
            if begin < end:
                place = _put(merged, place, _taken(sorted_runs, [begin], [end]))
        at = [end for _, end in found]
    return merged


def _put(merged: SortedRows, place: int, part: SortedRows) -> int:
    """Write rows from a place on, and return the place behind them."""
    end = place + len(part.rows)
    merged.rows[place:end], merged.codes[place:end], merged.times[place:end] = part
    for array in merged:
        release_pages(array)
    return end


def _taken(runs: SortedRows, begins: list[int], ends: list[int]) -> SortedRows:
    """Return copies of parts of the runs, one after the other."""
    parts = [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
    rows, codes, times = (np.concatenate([array[part] for part in parts]) for array in runs)
    for array in runs:
        release_pages(array)
    return SortedRows(rows, codes, times)


def _limits(samples: list[tuple[NDArray[np.int32], NDArray[np.float64]]]) -> list[Key]:
    """Return keys that divide all rows into blocks."""
    codes, times = _joined(samples)
    chosen = np.lexsort((times, codes))[SAMPLES // BLOCKS :: SAMPLES // BLOCKS]
    return list(zip(codes[chosen], times[chosen], strict=True))


def _search(runs: SortedRows, run: slice, limit: Key) -> tuple[int, int]:
    """Return the first place of a sorted run whose key is not below a limit, and the first whose key is above it."""
    code, time = limit
    low: int = run.start + int(np.searchsorted(runs.codes[run], code, "left"))
    high = run.start + int(np.searchsorted(runs.codes[run], code, "right"))
    times = runs.times[low:high]
    found = low + int(np.searchsorted(times, time, "left")), low + int(np.searchsorted(times, time, "right"))
    for array in (runs.codes, runs.times):
        release_pages(array)  # the system maps 64 KiB around each place that is read
    return found
