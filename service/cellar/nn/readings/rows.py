"""Reads rows of readings as clients send them, by the names of columns or in their order, as numbers of a row."""

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import IdUnknown, ShapeMismatch, TypeMismatch
from cellar.errors.suggestions import suggestion
from cellar.nn.readings.calendar import DAY_S, LEAST_DAYS, MOST_DAYS, parse_time
from cellar.nn.readings.columns import CategoryColumn, Column, NumberColumn, SeriesColumn, TimeColumn
from cellar.nn.readings.layout import Layout

Floats = NDArray[np.float32]
Place = tuple[str, int, int]

UNKNOWN = -1.0
"""The code of a category or a series that is not known."""
LARGEST = 3.4028235677973362e38
SHOWN = 12
"""The most names of columns or categories in an error."""


class RowReader:
    """Reads rows of values as numbers (T, B, width) float32, in which NaN is a missing reading."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._by_name = [_reader_of(column, by_name=True) for column in layout.columns]
        self._in_order = [_reader_of(column, by_name=False) for column in layout.columns]

    @property
    def width(self) -> int:
        """The numbers of a row."""
        return self.layout.width

    @property
    def in_words(self) -> str:
        """The columns in their order, as an error names them."""
        return ", ".join(
            f"{column.name} (day and second)" if isinstance(column, TimeColumn) else column.name
            for column in self.layout.columns[:SHOWN]
        ) + (", ..." if len(self.layout.columns) > SHOWN else "")

    @property
    def signature(self) -> str:
        """The columns with their kinds and names of categories: equal ones give the numbers of a row one meaning."""
        return ", ".join(map(_signature, self.layout.columns))

    def read(self, rows: Sequence[Sequence[Any]], pointers: Callable[[int, int], str]) -> Floats:
        """Return the numbers of rows of each step. None is a row that is left out, whose numbers are 0.

        `pointers` gives the JSON pointer of a row of a step. Raise TypeMismatch, IdUnknown or ShapeMismatch.
        """
        found = np.zeros((len(rows), len(rows[0]), self.layout.width), np.float64)
        for step, some in enumerate(rows):
            for number, row in enumerate(some):
                if row is not None:
                    found[step, number] = self._row(row, pointers, step, number)
        return found.astype(np.float32)

    def _row(self, row: Any, pointers: Callable[[int, int], str], step: int, number: int) -> list[float]:
        if isinstance(row, Mapping):
            known = self.layout.names
            for name in row:
                if name not in known:
                    raise IdUnknown(
                        f"the model has no column {name[:128]!r}{suggestion(name, known)}",
                        pointer=f"{pointers(step, number)}/{_escaped(name)}",
                        expected=f"one of {_shown(known)}",
                        actual=name[:128],
                    )
            values = [row.get(name) for name in known]
            places: Sequence[Any] = known
            readers = self._by_name
        elif len(row) == len(self.layout.columns):
            values, places, readers = list(row), range(len(row)), self._in_order
        elif len(row) == self.layout.width and all(not isinstance(value, str) for value in row):
            return self._numbers(row, pointers(step, number))
        else:
            raise self._wrong_length(len(row), pointers(step, number))
        found = list[float]()
        for column, value, place, read in zip(self.layout.columns, values, places, readers, strict=True):
            try:
                found += read(value)
            except _Refused as fault:
                raise fault.kind(
                    f"the column {column.name!r} takes {fault.expected}",
                    pointer=f"{pointers(step, number)}/{_escaped(str(place))}",
                    expected=fault.expected,
                    actual=_actual(value),
                ) from None
        return found

    def check(self, rows: Floats, left_out: NDArray[np.bool_] | None, place: Callable[[int, int, Place], str]) -> None:
        """Raise TypeMismatch, IdUnknown or NotFinite for numbers (T, B, width) that are no readings.

        `left_out` (at most T, B) are rows that take no part. `place` gives the JSON pointer of a column of a row, whose
        arguments are step, row, and the name of the column with its places among columns and among numbers.
        """
        for at, column in enumerate(self.layout.columns):
            first = self.layout.offsets[at]
            fault = _faults(column, rows[..., first : first + column.width])
            if left_out is not None:
                fault[: len(left_out)] &= ~left_out
            if fault.any():
                step, row = np.argwhere(fault)[0].tolist()
                value = rows[step, row, first]
                kind: type[TypeMismatch] | type[IdUnknown] = TypeMismatch
                if isinstance(column, CategoryColumn | SeriesColumn) and np.isfinite(value):
                    kind = IdUnknown
                raise kind(
                    f"not a reading of the column {column.name!r}: step {step}, row {row}, from 0",
                    pointer=place(step, row, (column.name, at, first)),
                    expected=_expected(column),
                    actual=f"{value:.9g}",
                )

    def _numbers(self, row: Sequence[Any], pointer: str) -> list[float]:
        """Return numbers in the order of the columns, a time as two of them, with NaN for null."""
        found = [math.nan if value is None else value for value in row]
        for place, value in enumerate(found):
            if type(value) not in (int, float):
                raise TypeMismatch(
                    "not a reading", pointer=f"{pointer}/{place}", expected="a number or null", actual=_actual(value)
                )
        return found

    def _wrong_length(self, length: int, pointer: str) -> ShapeMismatch:
        width, count = self.layout.width, len(self.layout.columns)
        with_text = "" if width == count else f" with a text for the time, or {width} numbers"
        return ShapeMismatch(
            f"a row has a value for each column: {_shown(self.layout.names)}",
            pointer=pointer,
            expected=f"{count} values{with_text}",
            actual=f"{length} values",
        )


def _signature(column: Column) -> str:
    if isinstance(column, CategoryColumn | SeriesColumn):
        names = (column.categories if isinstance(column, CategoryColumn) else column.ids) or ()
        listed = sha256("\n".join(names).encode()).hexdigest()[:8]
        return f"{column.name} ({column.kind}, {len(names)} names {listed})"
    return f"{column.name} ({column.kind})"


def _faults(column: Column, values: Floats) -> Any:
    """Return which numbers (T, B, width) of a column are no readings of it, (T, B)."""
    if isinstance(column, TimeColumn):
        days, seconds = values[..., 0], values[..., 1]
        return ~((days >= LEAST_DAYS) & (days <= MOST_DAYS) & (seconds >= 0) & (seconds <= DAY_S))
    x = values[..., 0]
    if isinstance(column, NumberColumn):
        found = np.isinf(x)
        return found if column.log is None else found | (x.astype(np.float64) + column.log <= 0)
    names = (column.categories if isinstance(column, CategoryColumn) else column.ids) or ()
    least = 0 if isinstance(column, CategoryColumn) and column.unknown == "refuse" else UNKNOWN
    return ~(np.isnan(x) | ((x >= least) & (x < max(len(names), 1)) & (x == np.floor(x))))


def _expected(column: Column) -> str:
    if isinstance(column, TimeColumn):
        return "day since 1970-01-01 and second of the day, of the years 1 to 9999"
    if isinstance(column, NumberColumn):
        return "a finite number" if column.log is None else f"a number above {-column.log:g}, because of its logarithm"
    names = (column.categories if isinstance(column, CategoryColumn) else column.ids) or ()
    return f"a place from 0 to {len(names) - 1} among {_shown(names)}; or -1 for an unknown one"


class _Refused(Exception):
    """A value that a column does not take."""

    def __init__(self, expected: str, kind: type[TypeMismatch] | type[IdUnknown] = TypeMismatch) -> None:
        super().__init__(expected)
        self.expected = expected
        self.kind = kind


def _reader_of(column: Column, *, by_name: bool) -> Callable[[Any], Sequence[float]]:
    """Return the function that reads a value; in order, a number is the place of a category, and no time."""
    if isinstance(column, NumberColumn):
        return _number
    if isinstance(column, TimeColumn):
        return (lambda value: _time(value, column.zone)) if by_name else (lambda value: _time_text(value, column.zone))
    names = (column.categories if isinstance(column, CategoryColumn) else column.ids) or ()
    codes = {name: (float(code),) for code, name in enumerate(names)}
    refuse = isinstance(column, CategoryColumn) and column.unknown == "refuse"

    def read(value: Any) -> Sequence[float]:
        """Return the code of a category or a series."""
        return (value,) if not by_name and type(value) in (int, float) else _code(value, codes, refuse=refuse)

    return read


def _number(value: Any) -> Sequence[float]:
    if value is None:
        return (math.nan,)
    if type(value) not in (int, float) or not abs(value) < LARGEST:
        raise _Refused("a number within the range of float32, or null for a missing reading")
    return (value,)


def _time(value: Any, zone: str) -> Sequence[float]:
    expected = "a time: an ISO 8601 text, or seconds since 1970-01-01 in UTC by name"
    try:
        if isinstance(value, str):
            time_s = parse_time(value, zone)
        elif type(value) in (int, float):
            time_s = float(value)
        else:
            raise _Refused(expected)
    except (ValueError, OverflowError):
        raise _Refused(expected) from None
    day = math.floor(time_s / DAY_S) if math.isfinite(time_s) else math.inf
    if not LEAST_DAYS <= day <= MOST_DAYS:
        raise _Refused("a time of the years 1 to 9999")
    return day, time_s - day * DAY_S


def _time_text(value: Any, zone: str) -> Sequence[float]:
    if not isinstance(value, str):
        raise _Refused("an ISO 8601 text; in a row of numbers alone it is day since 1970-01-01 and second of the day")
    return _time(value, zone)


def _code(value: Any, codes: Mapping[str, tuple[float]], *, refuse: bool) -> Sequence[float]:
    if value is None:
        return (math.nan,)
    found = codes.get(text_of(value)) if type(value) in (str, int, float, bool) else None
    if found is not None:
        return found
    if refuse or type(value) not in (str, int, float, bool):
        raise _Refused(f"one of {_shown(list(codes))}, or null", IdUnknown)
    return (UNKNOWN,)


def text_of(value: Any) -> str:
    """Return a category as text: a whole number without a fraction, a boolean as JSON writes it.

    >>> text_of("a"), text_of(3.0), text_of(0.5), text_of(True)
    ('a', '3', '0.5', 'true')
    """
    if type(value) is bool:
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.9g}"


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name[:64] for name in names[:SHOWN]) + more


def _escaped(name: str) -> str:
    return name[:128].replace("~", "~0").replace("/", "~1")


def _actual(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str | int | float):
        return repr(value)[:80]
    return "an object" if isinstance(value, dict) else "an array"
