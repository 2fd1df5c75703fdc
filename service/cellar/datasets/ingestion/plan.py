"""Decides which columns of a file are kept, with which roles and types."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from cellar.datasets.columns.numbers import is_infinity, is_number
from cellar.datasets.columns.times import TIME_NAMES, are_recent, looks_like_time
from cellar.datasets.faults import fault
from cellar.datasets.options import ReadOptions
from cellar.datasets.source import Chunk
from cellar.errors import InvalidInput
from cellar.errors.suggestions import suggestion
from cellar.table import ColumnType, Role

SAMPLE_CELLS = 1000
"""Cells with a value from which the type of a column is guessed, before all of them are read."""


class PlannedColumn(NamedTuple):
    """A column that is kept."""

    place: int
    """Its number in the file."""
    name: str
    role: Role | None
    type: ColumnType | None
    """None: found in the file."""


def plan_columns(names: Sequence[str], options: ReadOptions) -> list[PlannedColumn]:
    """Return the columns that are kept. Raise InvalidInput for names that are not in the file, or named twice."""
    roles: dict[str, Role] = {}
    wanted: tuple[tuple[str, Role, Sequence[str]], ...] = (
        ("time", "time", () if options.time is None else (options.time,)),
        ("series", "series", () if options.series is None else (options.series,)),
        ("static", "static", options.static),
        ("future", "future", options.future),
        ("targets", "target", options.targets),
        ("inputs", "input", options.inputs),
    )
    for parameter, role, given in wanted:
        for name in given:
            _check_known(name, names, parameter)
            if (other := roles.setdefault(name, role)) != role and (other, role) != ("target", "input"):
                raise InvalidInput(
                    f"the column {name!r} is named as {other} and as {role}",
                    pointer=f"/{parameter}",
                    expected="one role of each column",
                )
    for name in (*options.ignore, *options.types):
        _check_known(name, names, "ignore" if name in options.ignore else "types")
    return [
        PlannedColumn(index, name, roles.get(name), "time" if name == options.time else options.types.get(name))
        for index, name in enumerate(names)
        if name not in options.ignore
    ]


def _check_known(name: str, names: Sequence[str], parameter: str) -> None:
    if name not in names:
        shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        raise InvalidInput(
            f"the file has no column {name!r}{suggestion(name, names)}",
            pointer=f"/{parameter}",
            expected=f"one of {shown}",
            actual=name,
        )


def find_types(
    columns: Sequence[PlannedColumn], first: Chunk, options: ReadOptions, decimal: str, found: Mapping[str, ColumnType]
) -> list[PlannedColumn]:
    """Return the columns with types: those that are given, are `found` already, or fit the first rows.

    A column of times that has no other role gets the role of the time if it is the only one.
    """
    typed = [
        column
        if column.type is not None
        else column._replace(type=found.get(column.name) or _type(column, first, options, decimal))
        for column in columns
    ]
    times = [column for column in typed if column.type == "time"]
    if not times and len(numbers := [each for each in typed if _has_epochs(each, first, options)]) == 1:
        typed = [column._replace(type="time") if column is numbers[0] else column for column in typed]
        times = [column for column in typed if column.type == "time"]
    if len(times) == 1 and times[0].role is None:
        typed = [column._replace(role="time") if column is times[0] else column for column in typed]
        times = []
    if not any(column.role not in ("time", "series") for column in typed):
        raise InvalidInput(
            "no column with readings is left", pointer="/ignore", expected="a column besides those of time and series"
        )
    for column in times:
        if column.role == "time":
            continue
        others = [other.name for other in times if other is not column]
        raise fault(
            f"the column has times, and so has {others[0]!r}" if others else "a column of times has no other role",
            column=column.name,
            remedy=f"name the one that counts as `time`, and leave the other out: ignore={column.name}",
        )
    return typed


def _has_epochs(column: PlannedColumn, first: Chunk, options: ReadOptions) -> bool:
    """Return whether a column of numbers without a role is named as one of times, and its first numbers are recent."""
    if column.type != "number" or column.role is not None or column.name in options.types:
        return False
    if column.name.lower() not in TIME_NAMES:
        return False
    cells = first.columns[column.place]
    if isinstance(cells, np.ndarray):
        return cells.dtype.kind in "iuf" and are_recent(cells.astype(np.float64))
    return all(is_number(cell) for cell in cells) and are_recent(np.array([float(cell) for cell in cells]))


def _type(column: PlannedColumn, first: Chunk, options: ReadOptions, decimal: str) -> ColumnType:
    cells = first.columns[column.place]
    if not isinstance(cells, Sequence):
        # the values are those of the literal
        return {"M": "time", "U": "category", "O": "category", "S": "category"}.get(cells.dtype.kind, "number")  # type: ignore[return-value]
    missing = options.missing_cells
    texts = list(islice((text for cell in cells if (text := cell.strip()) not in missing), SAMPLE_CELLS))
    if not texts:
        return "number"
    numbers = sum(is_infinity(text) or is_number(text.replace(",", ".") if decimal == "," else text) for text in texts)
    if numbers == len(texts) or 2 * numbers > len(texts):  # the reader finds the others, and says where they are
        return "number"
    return "time" if column.role is None and looks_like_time(texts) else "category"
