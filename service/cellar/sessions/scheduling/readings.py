"""Reads and checks rows of readings, for which the model of the session must be known."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from cellar.errors import NotFinite, ShapeMismatch
from cellar.ports import ROW_LEFT_OUT, Floats, Readings, Row, RowFlags, StepCommand
from cellar.sessions.requests.request import StepRequest
from cellar.sessions.values.model_protocol import RowReader, Sizes
from cellar.sessions.values.row_flags import flags_of

_POINTERS = {"F": "", "BF": "/{row}", "TF": "/{step}", "TBF": "/{step}/{row}", "BTF": "/{row}/{step}"}
"""The JSON pointer of a row of a step, by the layout of the inputs."""


def read_request(request: StepRequest, sizes: Sizes, max_numbers: int) -> None:
    """Replace what a client wrote by numbers of the model's rows. Raise the refusal if the model takes numbers alone.

    Raise TypeMismatch, IdUnknown or ShapeMismatch for rows that are no readings.
    """
    command, readings = request.command, request.command.readings
    assert readings is not None
    reader = sizes.row_reader
    if reader is None:
        raise readings.refusal
    command.inputs = _numbers(command, readings, reader, max_numbers)
    request.inputs, request.flags = command.inputs, None
    if command.reset is not False or command.rows is not None:
        request.inputs, request.flags = flags_of(command.inputs, command.reset, command.rows)
        command.inputs = request.inputs


def check_readings(inputs: Floats, flags: RowFlags | None, sizes: Sizes, command: StepCommand | None = None) -> None:
    """Raise TypeMismatch or IdUnknown for inputs (T, rows, in_size) of a model with readings that are none."""
    reader = sizes.row_reader
    if reader is not None:
        left_out = None if flags is None else (flags[: len(inputs)] & ROW_LEFT_OUT) != 0
        reader.check(inputs, left_out, partial(_place, command))


def missing_only(inputs: Floats, pointer: str = "") -> Readings:
    """Return numbers that are not all finite as readings, of which NaN are missing. Raise NotFinite for infinities."""
    refusal = NotFinite("a number is not finite as float32", pointer=pointer, expected="a finite number")
    if np.isinf(inputs).any():
        raise refusal
    return Readings(None, refusal)


def read_rows(
    rows: Sequence[Sequence[Row]], reader: RowReader, layout: str, size: tuple[int, int] | None, max_numbers: int
) -> Floats:
    """Return rows of steps as numbers (T, rows, in_size), `size` of each step. Raise as `read_request`."""
    steps, count = len(rows), len(rows[0])
    if steps * count * reader.width > max_numbers:
        raise ShapeMismatch(
            "the rows would have too many numbers",
            expected=f"at most {max_numbers} numbers: steps x rows x in_size",
            actual=f"{steps} x {count} x {reader.width}",
        )
    if size is not None and count != size[0]:
        raise ShapeMismatch("a step has another number of rows", expected=f"{size[0]} rows", actual=f"{count} rows")
    return reader.read(rows, partial(_pointer, layout))


def _numbers(command: StepCommand, readings: Readings, reader: RowReader, max_numbers: int) -> Floats:
    if readings.rows is None:
        return np.where(np.isnan(command.inputs), np.float32(np.nan), command.inputs)  # all NaN alike
    return read_rows(readings.rows, reader, command.layout, None, max_numbers)


def _pointer(layout: str, step: int, row: int) -> str:
    return _POINTERS.get(layout, _POINTERS["TBF"]).format(step=step, row=row)


def _place(command: StepCommand | None, step: int, row: int, column: tuple[str, int, int]) -> str:
    """Return the JSON pointer of a column of a row, as far as the inputs of the command have one."""
    if command is None or command.layout not in _POINTERS:
        return ""
    pointer = _pointer(command.layout, step, row)
    rows = None if command.readings is None else command.readings.rows
    written = None if rows is None or step >= len(rows) or row >= len(rows[step]) else rows[step][row]
    name, among_columns, among_numbers = column
    if isinstance(written, dict):
        return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
    texts = isinstance(written, list) and any(isinstance(value, str) for value in written)
    return f"{pointer}/{among_columns if texts else among_numbers}"
