"""Rows of readings as texts, as a file of readings has them."""

import numpy as np

from cellar.nn.readings.calendar import DAY_S
from cellar.nn.readings.columns import CategoryColumn, SeriesColumn, TimeColumn
from cellar.nn.readings.layout import Layout
from cellar.nn.readings.rows import Floats

MISSING = ""


def number_texts(values: Floats) -> list[str]:
    """Return numbers as texts that are read as the same numbers again.

    >>> number_texts(np.array([0.1, np.nan], np.float32))
    ['0.10000000149011612', '']
    """
    return [MISSING if value != value else repr(value) for value in values.astype(np.float64).tolist()]


def column_texts(layout: Layout, rows: Floats) -> list[list[str]]:
    """Return the texts of each column of rows (N, width). Times are in UTC; an unknown category is missing."""
    found = []
    for at, column in zip(layout.offsets, layout.columns, strict=True):
        values = rows[:, at]
        if isinstance(column, TimeColumn):
            found.append(_time_texts(values, rows[:, at + 1]))
        elif isinstance(column, CategoryColumn | SeriesColumn):
            names = (column.categories if isinstance(column, CategoryColumn) else column.ids) or ()
            found.append([names[int(code)] if 0 <= code < len(names) else MISSING for code in values.tolist()])
        else:
            found.append(number_texts(values))
    return found


def _time_texts(days: Floats, seconds: Floats) -> list[str]:
    micros = np.rint((days.astype(np.float64) * DAY_S + seconds.astype(np.float64)) * 1e6).astype(np.int64)
    return [f"{text}Z" for text in np.datetime_as_string(micros.astype("datetime64[us]")).tolist()]
