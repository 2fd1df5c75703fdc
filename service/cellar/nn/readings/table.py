"""Tables of readings, as datasets hold them, and their rows as numbers of a network's input."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput
from cellar.errors.suggestions import suggestion
from cellar.nn.readings.calendar import split_time
from cellar.nn.readings.columns import CategoryColumn, Column, NumberColumn, SeriesColumn, TimeColumn
from cellar.nn.readings.layout import Layout
from cellar.nn.readings.rows import UNKNOWN, text_of

Floats = NDArray[np.float32]


class TableColumn(Protocol):
    """A column of a table; `cellar.ports.Column` is one."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def type(self) -> str:
        """`number`, `category` or `time`."""

    @property
    def categories(self) -> Sequence[str]:
        """The categories by their codes."""


class Table(Protocol):
    """A table of readings; `cellar.ports.Table` is one."""

    @property
    def columns(self) -> Sequence[TableColumn]:
        """The columns."""

    @property
    def series_ids(self) -> Sequence[str]:
        """The ids of the series."""

    @property
    def bounds(self) -> NDArray[np.int64]:
        """The first row of each series, and the number of rows."""

    @property
    def times(self) -> NDArray[np.float64] | None:
        """Seconds since 1970-01-01 in UTC of each row."""

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """Numbers by column, NaN where they are missing, or codes, -1 where they are missing."""


def column_of(table: Table, name: str, pointer: str) -> TableColumn:
    """Return a column by its name. Raise InvalidInput."""
    for column in table.columns:
        if column.name == name:
            return column
    names = [column.name for column in table.columns]
    raise InvalidInput(
        f"the data have no column {name!r}{suggestion(name, names)}",
        pointer=pointer,
        expected=f"one of {', '.join(names[:32])}",
        actual=name,
    )


def check_columns(layout: Layout, table: Table, pointer: str) -> None:
    """Raise InvalidInput for a column of a layer of readings that the table has not, or with another type."""
    for each in layout.columns:
        if isinstance(each, TimeColumn):
            if table.times is None:
                raise InvalidInput(
                    f"the data have no times for the column {each.name!r}",
                    pointer=pointer,
                    expected="a column of times",
                )
        elif not isinstance(each, SeriesColumn):
            found = column_of(table, each.name, pointer).type
            if found != "number" and not isinstance(each, CategoryColumn):
                raise InvalidInput(
                    f"the column {each.name!r} holds no numbers, and the model reads its numbers",
                    pointer=pointer,
                    expected="a column of numbers",
                    actual=f"a column of the type {found}",
                )


def rows_of(layout: Layout, table: Table, rows: slice) -> Floats:
    """Return rows of a table as numbers (T, width) of the input, NaN where a reading is missing.

    Columns that are known ahead have the values of later rows, as steps of sessions have them.
    """
    first, stop, _ = rows.indices(int(table.bounds[-1]))
    found = np.full((max(stop - first, 0), layout.width), np.nan, np.float32)
    for at, column in enumerate(layout.columns):
        place = layout.offsets[at]
        if isinstance(column, TimeColumn):
            if table.times is None:
                raise InvalidInput(f"the data have no times for the column {column.name!r}")
            found[:, place], found[:, place + 1] = split_time(np.asarray(table.times[first:stop], np.float64))
        elif isinstance(column, SeriesColumn):
            found[:, place] = _series_codes(column, table, first, stop)
        elif isinstance(column, CategoryColumn):
            found[:, place] = _category_codes(column, table, first, stop)
        elif column.lead:
            found[:, place] = _values_ahead(column, table, first, stop)
        else:
            found[:, place] = table.values[column.name][first:stop]
    return found


def encode(layout: Layout, table: Table, slices: Sequence[slice]) -> Floats:
    """Return slices of a table side by side, (T, B, width); shorter ones end with rows of their last numbers."""
    parts = [rows_of(layout, table, rows) for rows in slices]
    longest = max(len(part) for part in parts)
    return np.stack([np.pad(part, ((0, longest - len(part)), (0, 0)), "edge") for part in parts], axis=1)


def texts_of(column: Column, table: Table, first: int, stop: int) -> tuple[Sequence[str], NDArray[np.int64]]:
    """Return the distinct texts of a column in some rows, and for each row the place of its text, -1 without one."""
    found, values = column_of(table, column.name, ""), table.values[column.name][first:stop]
    if found.type == "category":
        return found.categories, np.asarray(values, np.int64)
    distinct, places = np.unique(values, return_inverse=True)
    texts = [text_of(float(value)) for value in distinct]
    return texts, np.where(np.isnan(values), -1, places).astype(np.int64)


def _values_ahead(column: NumberColumn, table: Table, first: int, stop: int) -> Floats:
    """Return for some rows the values of a column `lead` rows later, NaN behind the end of a series."""
    found = np.full(max(stop - first, 0), np.nan, np.float32)
    later = table.values[column.name][first + column.lead : stop + column.lead]
    found[: len(later)] = later
    rows = np.arange(first, stop)
    ends = table.bounds[np.searchsorted(table.bounds, rows, side="right")]
    found[rows + column.lead >= ends] = np.nan
    return found


def _category_codes(column: CategoryColumn, table: Table, first: int, stop: int) -> NDArray[np.float64]:
    texts, places = texts_of(column, table, first, stop)
    code = {name: float(at) for at, name in enumerate(column.categories or ())}
    codes = np.array([*(code.get(text, UNKNOWN) for text in texts), np.nan])
    return codes[places]


def _series_codes(column: SeriesColumn, table: Table, first: int, stop: int) -> NDArray[np.float64]:
    code = {name: float(at) for at, name in enumerate(column.ids or ())}
    found = np.searchsorted(table.bounds, np.arange(first, stop), side="right") - 1
    codes = np.array([code.get(name, UNKNOWN) for name in table.series_ids])
    return codes[found]
