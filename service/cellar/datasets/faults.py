"""Errors of files of readings, with the place of the fault."""

from cellar.errors import DatasetInvalid

SHOWN = 60
"""Most characters of a cell that an error shows."""


def shown(cell: str) -> str:
    """Return a cell as an error shows it."""
    return repr(cell if len(cell) <= SHOWN else f"{cell[:SHOWN]}…")


def fault(detail: str, *, row: int | None = None, column: str | None = None, remedy: str = "") -> DatasetInvalid:
    """Return the error of a cell, a row or a column.

    >>> str(fault("'abc' is not a number", row=70001, column="temp"))
    'row 70,001, column "temp": \\'abc\\' is not a number'
    """
    place = ", ".join(([] if row is None else [f"row {row:,}"]) + ([] if column is None else [f'column "{column}"']))
    text = f"{place}: {detail}" if place else detail
    return DatasetInvalid(f"{text}; {remedy}" if remedy else text, row=row, column=column)
