"""Chooses few points of a long series so that its plot looks the same."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.memory.file_mapping import release_pages
from cellar.table import Table

BLOCK_ROWS = 256 * 1024


class Chart(NamedTuple):
    """Points of one column of one series."""

    rows: NDArray[np.int64]
    """Their numbers in the series, from 0, ascending."""
    times: NDArray[np.float64] | None
    values: NDArray[np.float64]
    """NaN where a reading is missing; codes of categories, NaN for -1."""
    total: int
    """Rows of the series."""


def chart(table: Table, column: str, series: int, points: int) -> Chart:
    """Return up to `points` points: of each of points / 2 equal parts of the series its lowest and its highest value.

    A part without a value gives one point that is NaN, so that a plot shows the gap.
    """
    begin, end = (int(bound) for bound in table.bounds[series : series + 2])
    values = table.values[column]
    count = end - begin
    if count <= points:
        rows = np.arange(count, dtype=np.int64)
    else:
        edges = np.linspace(0, count, max(1, points // 2) + 1).astype(np.int64)
        rows = np.unique(np.concatenate([_extremes(values, begin, *pair) for pair in pairwise(edges.tolist())]))
    found = values[begin + rows].astype(np.float64)
    if values.dtype.kind == "i":
        found[found < 0] = np.nan
    times = None if table.times is None else np.array(table.times[begin + rows])
    release_pages(values)
    return Chart(rows, times, found, count)


def _extremes(values: NDArray[np.float32], begin: int, first: int, last: int) -> NDArray[np.int64]:
    """Return the rows of the lowest and the highest value in a part of a series."""
    low: tuple[float, int] | None = None
    high: tuple[float, int] | None = None
    for at in range(first, last, BLOCK_ROWS):
        part = values[begin + at : begin + min(last, at + BLOCK_ROWS)]
        present = np.flatnonzero(~np.isnan(part)) if part.dtype.kind == "f" else np.flatnonzero(part >= 0)
        if present.size:
            least, most = present[np.argmin(part[present])], present[np.argmax(part[present])]
            low = min(low or (np.inf, 0), (float(part[least]), at + int(least)))
            high = max(high or (-np.inf, 0), (float(part[most]), at + int(most)))
        release_pages(values)
    if low is None or high is None:
        return np.array([first], np.int64)
    return np.array([low[1], high[1]], np.int64)
