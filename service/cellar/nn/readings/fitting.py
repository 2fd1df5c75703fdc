"""Fits the columns of readings to the training part of a table: scales, categories, usual intervals.

Sums are rounded once (`math.fsum`), so that the numbers are the same on every machine.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput
from cellar.nn.numerics.portable_math import Doubles, log
from cellar.nn.readings.columns import (
    MAX_CATEGORIES,
    MAX_SERIES,
    CategoryColumn,
    Column,
    NumberColumn,
    NumberFit,
    SeriesColumn,
    TimeColumn,
)
from cellar.nn.readings.table import Table, column_of, texts_of

CHUNK_ROWS = 65536
"""The rows of a column that are in memory at a time."""
MOST_SORTED = 1_000_000
"""The most readings of which a quantile is computed; of more columns every n-th is taken."""
CONSTANT = 1e-9
"""A deviation of less than this part of the largest reading is rounding: the column is constant, and not scaled."""


def fit(columns: Sequence[Column], table: Table, rows: Sequence[slice]) -> tuple[Column, ...]:
    """Return the columns with what was found in these rows of a table. What is given already stays as it is.

    Raise InvalidInput with a pointer below /columns for a column that the table does not have, that has no reading in
    these rows, or a reading without a logarithm.
    """
    found: list[Column] = []
    for at, column in enumerate(columns):
        pointer = f"/columns/{at}"
        if isinstance(column, NumberColumn):
            found.append(column if column.fitted else _number(column, table, rows, pointer))
        elif isinstance(column, CategoryColumn):
            found.append(column if column.categories is not None else _category(column, table, rows, pointer))
        elif isinstance(column, TimeColumn):
            found.append(column if column.interval_s is not None else _time(column, table, rows, pointer))
        else:
            found.append(column if column.ids is not None else _series(column, table, rows, pointer))
    return tuple(found)


def _number(column: NumberColumn, table: Table, rows: Sequence[slice], pointer: str) -> NumberColumn:
    kind = column_of(table, column.name, f"{pointer}/name").type
    if kind != "number":
        raise InvalidInput(
            f"the column {column.name!r} has no numbers",
            pointer=f"{pointer}/kind",
            expected="a column of numbers",
            actual=f"a column of type {kind}",
        )
    pooled = _Numbers(column, table, rows, pointer)
    if not pooled.count:
        raise InvalidInput(
            f"the column {column.name!r} has no reading in training: leave it out",
            pointer=pointer,
            expected="at least one reading",
            actual=f"{pooled.missing} missing ones",
        )
    shift, scale = pooled.scale()
    series_shift, series_scale = list[float](), list[float]()
    if column.per_series:
        for part in _by_series(table, rows, pointer):
            one = _Numbers(column, table, part, pointer)
            of_series = one.scale() if one.count and not one.is_constant else (shift, scale)
            series_shift.append(of_series[0])
            series_scale.append(of_series[1])
    fitted = NumberFit(
        shift=shift,
        scale=scale,
        fill=(pooled.mean - shift) / scale,
        lowest=pooled.lowest,
        highest=pooled.highest,
        readings=pooled.count,
        missing=pooled.missing,
        series_shift=tuple(series_shift) if column.per_series else None,
        series_scale=tuple(series_scale) if column.per_series else None,
    )
    mask = column.mask
    if mask is None:
        mask = pooled.missing > 0 or (column.since and column.missing == "mean")
    return column.model_copy(update={"fitted": fitted, "mask": mask})


class _Numbers:
    """The readings of a column in some rows, after their logarithm if they have one."""

    def __init__(self, column: NumberColumn, table: Table, rows: Sequence[slice], pointer: str) -> None:
        self._column, self._table, self._rows, self._pointer = column, table, rows, pointer
        self.count = self.missing = 0
        self.lowest, self.highest = math.inf, -math.inf
        sums = list[float]()
        for chunk, missing in self._chunks():
            self.missing += missing
            if len(chunk):
                self.count += len(chunk)
                self.lowest = min(self.lowest, float(chunk.min()))
                self.highest = max(self.highest, float(chunk.max()))
                sums.append(math.fsum(self._transformed(chunk).tolist()))
        self.mean = math.fsum(sums) / max(self.count, 1)

    def _chunks(self) -> Iterator[tuple[Doubles, int]]:
        """Yield the readings in chunks, each with the number of missing ones."""
        values = self._table.values[self._column.name]
        for rows in self._rows:
            first, stop, _ = rows.indices(len(values))
            for begin in range(first, stop, CHUNK_ROWS):
                chunk = np.asarray(values[begin : min(begin + CHUNK_ROWS, stop)], np.float64)
                kept = chunk[~np.isnan(chunk)]
                if self._column.log is not None and len(kept) and kept.min() + self._column.log <= 0:
                    at = begin + int(np.flatnonzero(chunk + self._column.log <= 0)[0])
                    raise InvalidInput(
                        f"row {at} of the column {self._column.name!r}, from 0, has no logarithm",
                        pointer=f"{self._pointer}/log",
                        expected=f"readings above {-self._column.log:g}, or a larger offset",
                        actual=f"{chunk[at - begin]:.9g}",
                    )
                yield kept, len(chunk) - len(kept)

    def _transformed(self, chunk: Doubles) -> Doubles:
        return chunk if self._column.log is None else log(chunk + self._column.log)

    @property
    def is_constant(self) -> bool:
        """Whether all readings are one number."""
        return self.lowest == self.highest

    def scale(self) -> tuple[float, float]:
        """Return the shift and the scale. A constant column has its only reading as shift, and 1 as scale."""
        if self._column.scaling == "none":
            return 0.0, 1.0
        if self._column.scaling == "min_max":
            low, high = self._transformed(np.array([self.lowest, self.highest])).tolist()
            return low, high - low if high > low else 1.0
        if self._column.scaling == "robust":
            low, middle, high = self._quartiles()
            if high > low:
                return middle, high - low
        return self.mean, self._deviation()

    def _deviation(self) -> float:
        if self.is_constant:
            return 1.0
        sums = [math.fsum(((self._transformed(chunk) - self.mean) ** 2).tolist()) for chunk, _ in self._chunks()]
        found = math.sqrt(math.fsum(sums) / self.count)
        return found if found > CONSTANT * abs(self.mean) else 1.0

    def _quartiles(self) -> tuple[float, float, float]:
        step = -(-self.count // MOST_SORTED)
        some = np.sort(np.concatenate([self._transformed(chunk)[::step] for chunk, _ in self._chunks()]))
        low, middle, high = (float(some[round(part * (len(some) - 1))]) for part in (0.25, 0.5, 0.75))
        return low, middle, high


def _by_series(table: Table, rows: Sequence[slice], pointer: str) -> Iterator[list[slice]]:
    """Yield the rows of each series among these. Raise InvalidInput for too many series."""
    if len(table.series_ids) > MAX_SERIES:
        raise InvalidInput(
            "there are too many series to scale each by numbers of its own",
            pointer=f"{pointer}/per_series",
            expected=f"at most {MAX_SERIES} series, or the scaling causal",
            actual=f"{len(table.series_ids)} series",
        )
    total = int(table.bounds[-1])
    parts = [range(total)[each] for each in rows]
    for begin, end in pairwise(table.bounds.tolist()):
        cut = [slice(max(part.start, begin), min(part.stop, end)) for part in parts]
        yield [part for part in cut if part.start < part.stop]


def _category(column: CategoryColumn, table: Table, rows: Sequence[slice], pointer: str) -> CategoryColumn:
    column_of(table, column.name, f"{pointer}/name")
    counts: dict[str, int] = {}
    for part in rows:
        first, stop, _ = part.indices(int(table.bounds[-1]))
        texts, places = texts_of(column, table, first, stop)
        for place, count in enumerate(np.bincount(places[places >= 0], minlength=len(texts)).tolist()):
            if count:
                counts[texts[place]] = counts.get(texts[place], 0) + count
    if not counts or len(counts) > MAX_CATEGORIES:
        raise InvalidInput(
            f"the column {column.name!r} has {len(counts)} categories in training",
            pointer=pointer,
            expected=f"1 to {MAX_CATEGORIES} categories, or name them in `categories`",
            actual=str(len(counts)),
        )
    return column.model_copy(update={"categories": tuple(sorted(counts))})


def _time(column: TimeColumn, table: Table, rows: Sequence[slice], pointer: str) -> TimeColumn:
    if table.times is None:
        raise InvalidInput("the data have no times", pointer=pointer, expected="a column of times", actual="none")
    steps = list[NDArray[np.float64]]()
    for part in (piece for pieces in _pieces(table, rows) for piece in pieces):
        steps.append(np.diff(np.asarray(table.times[part][:MOST_SORTED], np.float64)))
    passed = np.sort(np.concatenate(steps)) if steps else np.zeros(0)
    passed = passed[passed > 0]
    return column.model_copy(update={"interval_s": float(passed[len(passed) // 2]) if len(passed) else 1.0})


def _pieces(table: Table, rows: Sequence[slice]) -> Iterator[list[slice]]:
    """Yield rows divided where a series ends, of as many series as there are readings to sort."""
    left, total = MOST_SORTED, int(table.bounds[-1])
    edges = table.bounds
    for part in (range(total)[each] for each in rows):
        inside = edges[(edges > part.start) & (edges < part.stop)].tolist()
        cuts = [part.start, *inside, part.stop]
        pieces = [slice(begin, end) for begin, end in pairwise(cuts) if begin < end]
        for piece in pieces:
            if left <= 0:
                return
            left -= piece.stop - piece.start
            yield [piece]


def _series(column: SeriesColumn, table: Table, rows: Sequence[slice], pointer: str) -> SeriesColumn:
    if len(table.series_ids) > MAX_SERIES:
        next(_by_series(table, rows, pointer))
    return column.model_copy(update={"ids": tuple(table.series_ids)})
