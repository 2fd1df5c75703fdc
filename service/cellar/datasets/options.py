"""The options of a request that brings a file of readings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellar.table import ColumnType

DateOrder = Literal["DMY", "MDY", "YMD"]
Duplicates = Literal["error", "first", "last", "mean"]

MISSING = (
    "",
    "NA",
    "N/A",
    "n/a",
    "na",
    "?",
    "NaN",
    "nan",
    "NAN",
    "-NaN",
    "-nan",
    "<NA>",
    "null",
    "NULL",
    "None",
    "-",
    "#N/A",
)
"""Cells that stand for a missing reading in every file."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The roles and types of columns, and the form of the file. What is not said is found in the file."""

    time: str | None = None
    series: str | None = None
    targets: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    types: Mapping[str, ColumnType] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Further texts that stand for a missing reading, such as -999."""
    only_empty_is_missing: bool = False
    """Whether a text of MISSING is a text as any other, as the name of a session may be one."""
    timezone: str | None = None
    """The time zone of times without an offset; None: UTC."""
    date_order: DateOrder | None = None
    duplicates: Duplicates = "error"
    """The row that is kept of several rows of a series with the same time; `error`: they are refused."""
    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    header: bool | None = None
    encoding: str | None = None

    @property
    def missing_cells(self) -> frozenset[str]:
        """All texts that stand for a missing reading."""
        return frozenset((*(("",) if self.only_empty_is_missing else MISSING), *self.missing))
