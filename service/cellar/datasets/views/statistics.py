"""Statistics of the columns of a table, computed exactly and in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.memory.file_mapping import PIECE_BYTES, release_pages
from cellar.table import Column, Table

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

MOST_SHOWN = 100
"""The most categories in an answer, each with its count, the most frequent first."""

_HALF = 1 << 16


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """Statistics of the values of a column. Rows without a value count in `missing` alone."""

    column: Column
    count: int
    """Rows with a value."""
    missing: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    deviation: float | None = None
    """The standard deviation of the values (divided by their number)."""
    quantiles: dict[float, float] | None = None
    """Of each of QUANTILES the smallest value that is not below that share of the values."""
    categories: dict[str, int] | None = None
    """Rows of the most frequent categories; of the column that names series, of the longest series."""


def column_statistics(table: Table, column: Column) -> ColumnStatistics:
    """Return the statistics of a column."""
    if column.name not in table.values:
        times = table.times
        if column.role == "time" and times is not None:
            ends = [(float(part.min()), float(part.max())) for part in parts(times)]
            return ColumnStatistics(column, table.rows, 0, min(low for low, _ in ends), max(high for _, high in ends))
        return ColumnStatistics(column, table.rows, 0, categories=_of_series(table))
    values = table.values[column.name]
    return _of_codes(column, values) if column.type == "category" else _of_numbers(column, values)


def parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array part by part, and release the pages of each."""
    count = max(1, PIECE_BYTES // array.itemsize)
    for begin in range(0, len(array), count):
        yield array[begin : begin + count]
        release_pages(array)


def _of_series(table: Table) -> dict[str, int]:
    counts = np.diff(table.bounds)
    return {table.series_ids[place]: int(counts[place]) for place in np.argsort(-counts, kind="stable")[:MOST_SHOWN]}


def _of_codes(column: Column, codes: NDArray[np.int32]) -> ColumnStatistics:
    counts = np.zeros(len(column.categories) + 1, np.int64)
    for part in parts(codes):
        counts += np.bincount(part + 1, minlength=len(counts))
    order = np.argsort(-counts[1:], kind="stable")[:MOST_SHOWN]
    shown = {column.categories[place]: int(counts[place + 1]) for place in order}
    return ColumnStatistics(column, int(counts[1:].sum()), int(counts[0]), categories=shown)


def _of_numbers(column: Column, values: NDArray[np.float32]) -> ColumnStatistics:
    count, mean, squares = 0, 0.0, 0.0
    low, high = np.inf, -np.inf
    upper = np.zeros(_HALF, np.int64)
    for part in parts(values):
        present = part[~np.isnan(part)]
        if not present.size:
            continue
        low, high = min(low, float(present.min())), max(high, float(present.max()))
        upper += np.bincount(_keys(present) >> np.uint32(16), minlength=_HALF)
        more, part_mean = present.size, float(present.mean(dtype=np.float64))
        part_squares = float(np.square(present.astype(np.float64) - part_mean).sum())
        step = part_mean - mean  # Chan, Golub and LeVeque, 1983
        squares += part_squares + step * step * count * more / (count + more)
        mean += step * more / (count + more)
        count += more
    if not count:
        return ColumnStatistics(column, 0, len(values))
    deviation = float(np.sqrt(squares / count))
    return ColumnStatistics(
        column, count, len(values) - count, low, high, mean, deviation, _quantiles(values, upper, count)
    )


def _keys(numbers: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return integers in the order of the numbers: a number of fewer bits has a histogram."""
    bits = numbers.view(np.uint32) if numbers.flags.c_contiguous else numbers.copy().view(np.uint32)
    negative = bits >> np.uint32(31) == 1
    return np.where(negative, ~bits, bits | np.uint32(1 << 31))


def _quantiles(values: NDArray[np.float32], upper: NDArray[np.int64], count: int) -> dict[float, float]:
    """Return the quantiles, from the histogram of the upper halves of the keys and those of the lower halves."""
    ranks = {share: max(0, int(np.ceil(share * count)) - 1) for share in QUANTILES}
    sums = np.cumsum(upper)
    places = {share: int(np.searchsorted(sums, rank, "right")) for share, rank in ranks.items()}
    lower = {place: np.zeros(_HALF, np.int64) for place in places.values()}
    for part in parts(values):
        keys = _keys(part[~np.isnan(part)])
        upper_bits = keys >> np.uint32(16)
        for place in lower:
            inside = keys[upper_bits == place] & np.uint32(0xFFFF)
            lower[place] += np.bincount(inside, minlength=_HALF)
    found = {}
    for share, place in places.items():
        rank = ranks[share] - (int(sums[place - 1]) if place else 0)
        low = int(np.searchsorted(np.cumsum(lower[place]), rank, "right"))
        found[share] = _number(place << 16 | low)
    return found


def _number(key: int) -> float:
    bits = key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.array([bits], np.uint32).view(np.float32)[0])
