"""The steps of a long sequence, read from lines of JSON or from an npy file, and divided into chunks."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from cellar.errors import InvalidInput
from cellar.ports import Floats
from cellar.wire.arrays.npy_rows import NpyRows
from cellar.wire.json.document import decode
from cellar.wire.json.lines import LineSplitter, is_blank
from cellar.wire.numbers.numbers import parse_array

EXPECTED = '{"input": ...}, a step, or {"inputs": ...}, several'

Size = tuple[int, int]


class Lines:
    """Reads newline-delimited JSON, with one or several steps in a line."""

    def __init__(self, size: Size, max_bytes: int) -> None:
        self._size = size
        self._splitter = LineSplitter(max_bytes)

    @property
    def held_bytes(self) -> int:
        """Return the bytes of a line or a step that is not complete."""
        return self._splitter.held_bytes

    def feed(self, data: bytes) -> Iterator[Floats]:
        """Yield the steps of each complete line."""
        for line in self._splitter.feed(data):
            if not is_blank(line):
                yield _of_line(line, self._size)

    def end(self) -> Iterator[Floats]:
        """Yield the steps of the last line, if it has no newline."""
        for line in self._splitter.end():
            yield _of_line(line, self._size)


def npy_rows(size: Size, max_bytes: int) -> NpyRows:  # noqa: ARG001  # the session says how large a step is
    """Return a reader of an npy file, (T, rows, in_size), or (T, in_size) for a session of one row."""
    return NpyRows(*([(size[1],), size] if size[0] == 1 else [size]))


Reader = Lines | NpyRows
"""Reads a body in pieces of any size, and returns its steps as arrays (T, rows, in_size)."""


class Chunks:
    """Joins steps to chunks of `steps`; the last chunk may have fewer."""

    def __init__(self, steps: int, size: Size) -> None:
        self._shape = steps, *size
        self._chunk = np.empty(self._shape, np.float32)
        self._filled = 0

    def add(self, steps: Floats) -> Iterator[Floats]:
        """Add steps and yield the complete chunks."""
        while len(steps):
            count = min(len(steps), len(self._chunk) - self._filled)
            self._chunk[self._filled : self._filled + count] = steps[:count]
            self._filled += count
            steps = steps[count:]
            if self._filled == len(self._chunk):
                yield self._chunk
                self._chunk, self._filled = np.empty(self._shape, np.float32), 0

    def rest(self) -> Floats:
        """Return the steps that do not fill a chunk."""
        return self._chunk[: self._filled]


def _of_line(line: bytes, size: Size) -> Floats:
    document: Any = decode(line)
    if not isinstance(document, dict) or len(document) != 1 or not document.keys() <= {"input", "inputs"}:
        raise InvalidInput("not a line of steps", expected=EXPECTED, actual=_shown(document))
    ((name, value),) = document.items()
    steps: tuple[int | None, ...] = (None,) if name == "inputs" else ()
    inner = value[0] if name == "inputs" and isinstance(value, list) and value else value
    flat = size[0] == 1 and isinstance(inner, list) and not (inner and isinstance(inner[0], list))
    shape = (*steps, size[1]) if flat else (*steps, *size)
    return parse_array(value, pointer=f"/{name}", shape=shape).reshape(-1, *size)


def _shown(document: Any) -> str:
    return f"the members {', '.join(sorted(document))}"[:80] if isinstance(document, dict) else "no object"
