"""Decodes inputs that are rows of readings: objects by the names of columns, or arrays with null or texts in them.

Only the model of the session knows its columns, so the rows are kept as they were written until it is at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.ports import ROW, ROW_LEFT_OUT, ROWS, Floats, Readings, Row, RowFlags
from cellar.wire.arrays import npy
from cellar.wire.numbers.text import NumberText

_BY_DEPTH = {"step": (ROW, ROWS), "sequence": ("", "TF", "TBF")}
"""The layout of rows of a step and of a sequence, by the number of arrays around a row."""


@dataclass(frozen=True, slots=True)
class Written:
    """Rows of readings as they were written."""

    readings: Readings
    layout: str
    flags: RowFlags | None
    """The rows that are null; None without any."""

    @property
    def inputs(self) -> Floats:
        """Zeros (T, rows, 1), which stand for the inputs until the model has read them."""
        assert self.readings.rows is not None
        return np.zeros((len(self.readings.rows), len(self.readings.rows[0]), 1), np.float32)


def written_rows(value: Any, kind: str, layout: str | None, refusal: InvalidInput, pointer: str) -> Written | None:
    """Return the rows of inputs that are no arrays of numbers, None if they are no readings either.

    `refusal` is the error of a decoder of numbers, whose pointer begins with `pointer`.
    """
    if isinstance(value, NumberText):
        value = value.as_list()
    depth = _depth(value)
    layouts = _BY_DEPTH[kind]
    if layout is None and depth < len(layouts):
        layout = layouts[depth]
    if not layout or layout[-1] != "F" or len(layout) != depth + 1:
        return None
    rows = _by_step(value, layout)
    if rows is None or not rows or not rows[0] or not _are_readings(rows):
        return None
    if isinstance(value, dict):
        refusal = InvalidInput(
            "the model has no columns, so a step is an array of numbers",
            pointer=pointer,
            expected="an array",
            actual="an object",
        )
    if isinstance(refusal, ShapeMismatch):  # which gets the pointer to the inputs again when it is answered
        refusal.pointer = refusal.pointer.removeprefix(pointer)
    is_null = np.array([[row is None for row in some] for some in rows])
    return Written(Readings(rows, refusal), layout, is_null * np.uint8(ROW_LEFT_OUT) if is_null.any() else None)


def load_npy(data: bytes, axes: tuple[int, ...], *, padded: bool = False) -> tuple[Floats, Readings | None]:
    """Return the numbers of an npy file, and, if some are NaN, that the model has to read them. Raise as `npy.load`."""
    try:
        return npy.load(data, axes=axes, padded=padded), None
    except NotFinite as error:
        numbers = npy.load(data, axes=axes, padded=True)
        if np.isinf(numbers).any():
            raise
        return numbers, Readings(None, error)


def _depth(value: Any) -> int:
    """Return the number of arrays around a row of readings, which is an object or an array of values."""
    inner = [each for each in value if isinstance(each, list | dict)] if isinstance(value, list) else []
    return 1 + max(map(_depth, inner)) if inner else 0


def _by_step(value: Any, layout: str) -> Sequence[Sequence[Row]] | None:
    """Return the rows of each step, None if the arrays around them are not regular."""
    match layout:
        case "F":
            return [[value]]
        case "BF":
            return [value]
        case "TF":
            return [[row] for row in value]
    sizes = {len(each) if isinstance(each, list) else -1 for each in value}
    if len(sizes) != 1 or -1 in sizes:
        return None
    return list(value) if layout == "TBF" else [list(step) for step in zip(*value, strict=True)]


def _are_readings(rows: Sequence[Sequence[Row]]) -> bool:
    """Return whether all are rows, and one of them is no array of numbers alone."""
    found = False
    for row in (row for some in rows for row in some):
        if not (row is None or isinstance(row, dict | list)):
            return False
        found = found or isinstance(row, dict) or (row is not None and any(x is None or type(x) is str for x in row))
    return found
