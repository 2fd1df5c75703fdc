"""The steps of a long sequence, read from lines of JSON or from an npy file, and divided into chunks."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from cellar.api.decoding.steps.readings import written_rows
from cellar.api.errors.validation_errors import below
from cellar.api.http.body import validated
from cellar.api.schemas.session.sequence_stream import LongStep, LongSteps
from cellar.errors import IdUnknown, InvalidInput, ShapeMismatch, TypeMismatch
from cellar.ports import Floats, RowChoice, RowFlags
from cellar.sessions.operations.long_sequence import Chunk
from cellar.sessions.scheduling.readings import read_rows
from cellar.sessions.values.model_protocol import RowReader
from cellar.sessions.values.row_flags import flags_of, left_out_where, place_rows
from cellar.wire.arrays.npy_rows import NpyRows
from cellar.wire.json.document import decode
from cellar.wire.json.lines import LineSplitter, is_blank
from cellar.wire.numbers.null_rows import fill_null_rows
from cellar.wire.numbers.numbers import parse_array

MOST_NUMBERS = 4 * 1024 * 1024
"""The most numbers that the inputs of a line with `rows` may have with all rows of the session: 16 MiB."""

EXPECTED = '{"input": ...}, a step, or {"inputs": ...}, several'

Size = tuple[int, int]


class Lines:
    """Reads newline-delimited JSON, with one or several steps in a line."""

    def __init__(
        self, size: Size, max_bytes: int, rows: RowChoice | None = None, reader: RowReader | None = None
    ) -> None:
        self._size, self._reader = size, reader
        self._some_rows = rows is not None and rows.numbers is not None
        self._splitter = LineSplitter(max_bytes)

    @property
    def held_bytes(self) -> int:
        """Return the bytes of a line or a step that is not complete."""
        return self._splitter.held_bytes

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Yield the steps of each complete line."""
        for line in self._splitter.feed(data):
            if not is_blank(line):
                yield self._read(line)

    def end(self) -> Iterator[Chunk]:
        """Yield the steps of the last line, if it has no newline."""
        for line in self._splitter.end():
            yield self._read(line)

    def _read(self, line: bytes) -> Chunk:
        document: Any = decode(line)
        if not isinstance(document, dict) or len(document.keys() & {"input", "inputs"}) != 1:
            raise InvalidInput("not a line of steps", expected=EXPECTED, actual=_shown(document))
        if len(document) == 1:
            ((name, value),) = document.items()
            return Chunk(*_inputs_of(name, value, self._size, self._reader))
        if self._some_rows and "rows" in document:
            raise InvalidInput(
                "the query has named the rows", pointer="/rows", expected="`rows` in the query or in lines"
            )
        return _of_rows(document, self._size, self._reader)


def npy_rows(
    size: Size,
    max_bytes: int,  # noqa: ARG001  # a step is small
    rows: RowChoice | None = None,
    reader: RowReader | None = None,
) -> NpyRows:
    """Return a reader of an npy file, (T, rows, in_size), or (T, in_size) for a session of one row."""
    shapes = [(size[1],), size] if size[0] == 1 else [size]
    return NpyRows(*shapes, padded=reader is not None or (rows is not None and rows.lengths is not None))


Reader = Lines | NpyRows
"""Reads a body in pieces of any size, and returns its steps: arrays (T, rows, in_size), or chunks with flags too."""


class Chunks:
    """Joins steps to chunks of `steps`; the last chunk may have fewer."""

    def __init__(self, steps: int, size: Size) -> None:
        self._shape = steps, *size
        self._begin()

    def _begin(self) -> None:
        self._chunk = np.empty(self._shape, np.float32)
        self._flags: RowFlags | None = None
        self._filled = 0

    def add(self, read: Floats | Chunk) -> Iterator[Chunk]:
        """Add steps and yield the complete chunks."""
        steps = read if isinstance(read, Chunk) else Chunk(read)
        while len(steps.inputs):
            start = self._filled
            count = min(len(steps.inputs), len(self._chunk) - start)
            self._chunk[start : start + count] = steps.inputs[:count]
            if steps.flags is not None:
                if self._flags is None:
                    self._flags = np.zeros(self._shape[:2], np.uint8)
                some = steps.flags[:count]
                self._flags[start : start + len(some)] = some
            self._filled += count
            steps = steps.from_step(count)
            if self._filled == len(self._chunk):
                yield self.rest()
                self._begin()

    def rest(self) -> Chunk:
        """Return the steps that do not fill a chunk."""
        return Chunk(self._chunk[: self._filled], None if self._flags is None else self._flags[: self._filled])


def _of_rows(document: dict[str, Any], size: Size, reader: RowReader | None) -> Chunk:
    """Return the steps of a line that says more than inputs."""
    name = "input" if "input" in document else "inputs"
    line = validated(LongStep if name == "input" else LongSteps, document)
    count = size[0] if line.rows is None else len(line.rows)
    inputs, flags = _inputs_of(name, document[name], (count, size[1]), reader)
    choice = RowChoice(line.rows, line.lengths if isinstance(line, LongSteps) else None, flags)
    inputs, flags = flags_of(inputs, line.reset, choice)
    if line.rows is None or flags is None:
        return Chunk(inputs, flags)
    if len(inputs) * size[0] * size[1] > MOST_NUMBERS:
        raise ShapeMismatch(
            "a line has too many steps for the rows of the session",
            pointer="/inputs",
            expected=f"at most {MOST_NUMBERS} numbers: steps x batch_size x in_size",
            actual=f"{len(inputs)} x {size[0]} x {size[1]}",
        )
    return Chunk(*place_rows(inputs, flags, line.rows, size[0]))


def _inputs_of(name: str, value: Any, size: Size, reader: RowReader | None) -> tuple[Floats, RowFlags | None]:
    """Return inputs (T, rows, in_size), and the flags of rows that are null."""
    try:
        return _numbers_of(name, value, size)
    except InvalidInput as error:
        kind = "step" if name == "input" else "sequence"
        written = None if reader is None else written_rows(value, kind, None, error, f"/{name}")
        if reader is None or written is None or written.readings.rows is None:
            raise
        with below(f"/{name}", ShapeMismatch, IdUnknown, TypeMismatch):
            return read_rows(written.readings.rows, reader, written.layout, size, MOST_NUMBERS), written.flags


def _numbers_of(name: str, value: Any, size: Size) -> tuple[Floats, RowFlags | None]:
    """Return arrays of numbers (T, rows, in_size), and the flags of rows that are null."""
    pointer = f"/{name}"
    try:
        return _parsed(name, value, size), None
    except InvalidInput:
        axes = 2 if name == "input" else None
        if (filled := fill_null_rows(value, axes, pointer)) is None:
            raise
        layout = "BF" if name == "input" else "TBF" if filled.is_null.ndim == 2 else "TF"
        return _parsed(name, filled.value, size), left_out_where(filled.is_null, layout, pointer)


def _parsed(name: str, value: Any, size: Size) -> Floats:
    steps: tuple[int | None, ...] = (None,) if name == "inputs" else ()
    inner = value[0] if name == "inputs" and isinstance(value, list) and value else value
    flat = size[0] == 1 and isinstance(inner, list) and not (inner and isinstance(inner[0], list))
    shape = (*steps, size[1]) if flat else (*steps, *size)
    return parse_array(value, pointer=f"/{name}", shape=shape).reshape(-1, *size)


def _shown(document: Any) -> str:
    return f"the members {', '.join(sorted(document))}"[:80] if isinstance(document, dict) else "no object"
