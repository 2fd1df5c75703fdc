"""Finds the form of a file of text with separated values: its delimiter, its decimal sign, and its header."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from cellar.datasets.columns.numbers import is_number
from cellar.datasets.columns.time_fields import form_of
from cellar.datasets.faults import fault, shown
from cellar.datasets.options import ReadOptions
from cellar.datasets.source import check_names

DELIMITERS = ("\t", ";", "|", ",")
"""In this order: texts and decimal numbers contain commas."""

_COMMA_NUMBER = re.compile(r"\s*[+-]?\d+,\d+\s*").fullmatch
_POINT_NUMBER = re.compile(r"\s*[+-]?\d+\.\d+\s*").fullmatch


class Dialect(NamedTuple):
    """The form of a file."""

    delimiter: str
    decimal: Literal[".", ","]
    names: tuple[str, ...]
    has_header: bool


def find_dialect(lines: Sequence[str], options: ReadOptions) -> Dialect:
    """Return the form of a file that begins with these lines. Raise DatasetInvalid."""
    if not any(line.strip() for line in lines):
        raise fault("the file has no rows", remedy="send a header and at least one row")
    delimiter = options.delimiter or _delimiter(lines)
    rows = split(lines, delimiter)
    if not rows:
        raise fault("not a row of separated values", row=1, remedy="send the delimiter as `delimiter`")
    decimal = options.decimal or _decimal(rows, delimiter)
    first = [cell.strip() for cell in rows[0]]
    has_header = _has_header(rows, options)
    if not has_header:
        return Dialect(delimiter, decimal, tuple(f"column_{number}" for number in range(1, len(first) + 1)), False)
    check_names(first, "the header", 1)
    return Dialect(delimiter, decimal, tuple(first), True)


def split(lines: Sequence[str], delimiter: str, *, strict: bool = False) -> list[list[str]]:
    """Return the cells of lines, without empty lines and what a quote that has not ended begins."""
    rows: list[list[str]] = []
    with suppress(csv.Error):  # the sample ends within a cell
        rows.extend(row for row in csv.reader(lines, delimiter=delimiter, strict=strict) if row)
    return rows


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that gives all lines the same number of cells, or the one that the first line has."""
    best = ","
    for delimiter in DELIMITERS:
        # A quote that ends behind another delimiter must not begin a cell that contains the rest of the file.
        counts = Counter(len(row) for row in split(lines, delimiter, strict=True))
        width, _ = counts.most_common(1)[0] if counts else (0, 0)
        if width > 1 and len(counts) == 1:
            return delimiter
        if delimiter in lines[0] and best == ",":
            best = delimiter
    return best


def _decimal(rows: Sequence[Sequence[str]], delimiter: str) -> Literal[".", ","]:
    cells = [cell for row in rows[1:] for cell in row]
    has_commas = delimiter != "," and any(_COMMA_NUMBER(cell) for cell in cells)
    return "," if has_commas and not any(_POINT_NUMBER(cell) for cell in cells) else "."


def _is_value(cell: str) -> bool:
    return is_number(cell.replace(",", ".")) or form_of(cell) is not None


def _has_header(rows: Sequence[Sequence[str]], options: ReadOptions) -> bool:
    """Return whether the first row has names. Raise DatasetInvalid if that cannot be told."""
    if options.header is not None:
        return options.header
    values = [cell for cell in rows[0] if _is_value(cell)]
    if not values:
        return True
    names = [cell for cell in rows[0] if not _is_value(cell) and cell.strip() not in options.missing_cells]
    below = rows[1] if len(rows) > 1 else []
    above_values = [cell for cell, lower in zip(rows[0], below, strict=False) if _is_value(lower) and cell in names]
    if above_values:
        raise fault(
            f"the row may be a header, as {shown(above_values[0])}, or may have values, as {shown(values[0])}",
            row=1,
            remedy="send header=true or header=false",
        )
    return False
