"""Tables of readings: columns over rows that are sorted by series and time, mapped from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

ColumnType = Literal["number", "category", "time"]
Role = Literal["input", "target", "time", "series", "static", "future"]
"""`static` is constant within a series, `future` is known in advance, such as a holiday or a planned price."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: ColumnType
    role: Role | None = None
    categories: tuple[str, ...] = ()
    """The different texts of a category, sorted; its values are indices of them. None of the series column."""
    missing: int = 0
    """Number of rows without a value."""


@dataclass(frozen=True, slots=True)
class Table:
    """The readings of one or more series. The arrays are mapped from a file: read them part by part."""

    columns: tuple[Column, ...]
    """As in the file that was added, with those of time and series."""
    series_ids: Sequence[str]
    """The series in the order of their rows; one with the id "" if no column names series."""
    bounds: NDArray[np.int64]
    """The rows of series i are `bounds[i]` to `bounds[i + 1]`; one more than there are series."""
    times: NDArray[np.float64] | None
    """Seconds since the Unix epoch of each row, ascending within a series; None without a time column."""
    values: Mapping[str, NDArray[Any]]
    """Of each other column: float32 with NaN for a missing number, or int32 indices with -1 for a missing category."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.bounds[-1])

    def column(self, name: str) -> Column:
        """Return a column. Raise KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)
