"""Returns single rows of a table as they are shown."""

from datetime import UTC, datetime

import numpy as np

from cellar.table import Column, Table

Value = float | str | None


def rows_of(table: Table, first: int, count: int) -> list[list[Value]]:
    """Return rows from `first` on, each with a value for every column."""
    here = slice(first, min(table.rows, first + count))
    columns = [values_of(table, column, here) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def values_of(table: Table, column: Column, here: slice) -> list[Value]:
    """Return the values of a column in some rows; None is missing."""
    if column.role == "time" and table.times is not None:
        return [_text(seconds) for seconds in table.times[here].tolist()]
    if column.role == "series":
        places = np.searchsorted(table.bounds, np.arange(here.start, here.stop), "right") - 1
        return [table.series_ids[int(place)] for place in places]
    values = table.values[column.name][here].tolist()
    if column.type == "category":
        return [None if code < 0 else column.categories[code] for code in values]
    return [None if value != value else value for value in values]


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def place_of(table: Table, series: str) -> int | None:
    """Return the place of a series, None if there is none of that id."""
    try:
        return table.series_ids.index(series)
    except ValueError:
        return None
