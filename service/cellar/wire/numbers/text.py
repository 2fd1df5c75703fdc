"""Converts the text of a long array of numbers to float32 piece by piece, without millions of Python objects.

A document of 16 MiB can have eight million numbers or five million arrays. As Python objects they take half a gigabyte,
and creating and freeing them blocks all other threads. Here a piece of 64 KiB is decoded at a time, its numbers
are written to the array, and only the brackets and commas are kept, to be compared with those of a regular array.
"""

import json
import re
import struct
from collections.abc import Iterator, Sequence
from io import BytesIO
from time import sleep

import numpy as np
import orjson
from numpy.typing import NDArray

from cellar.errors import CellarError, InvalidInput
from cellar.wire.numbers.faults import FaultSearch, Size

PIECE_BYTES = 64 * 1024

_COUNTED_BYTES = 1024 * 1024

MOST_GAP_BYTES = 64 * 1024
"""The most bytes between two commas: longer numbers and longer white space are refused."""

Floats = NDArray[np.float32]

_FLOAT32 = np.dtype("<f4")
_BRACKETS_TO_SPACES = bytes(32 if byte in b"[]" else byte for byte in range(256))
_ALL_BUT_STRUCTURE = b"0123456789+-.eE \t\r\n"
_MISPLACED = re.compile(rb"[0-9][ \t\r\n]*+\[|\][ \t\r\n]*+[-0-9\[]|\[[ \t\r\n]*+\]")
"""Faults that orjson cannot find when brackets are replaced by spaces: values without a comma between, empty arrays."""


_NUMBERS = re.compile(rb"[\[\], \t\r\n0-9+\-.eE]*+")


def end_of_numbers(body: bytes, start: int, limit: int) -> int:
    """Return the offset of the first text from `start` on that is no part of an array of numbers, at most `limit`."""
    run = _NUMBERS.match(body, start, limit)
    end = start if run is None else run.end()
    return end - 1 if body[end - 1 : end + 1] == b"-I" else end


class NumberText:
    """The text of an array of numbers within a body, from `start` to before `stop`.

    `fault` is the offset of the first text that cannot be part of a number, None if there is none.
    """

    __slots__ = ("body", "fault", "start", "stop")

    def __init__(self, body: bytes, start: int, stop: int, fault: int | None = None) -> None:
        self.body = body
        self.start = start
        self.stop = stop
        self.fault = fault

    @classmethod
    def of(cls, value: object) -> "NumberText":
        """Return the text of a decoded JSON value."""
        body = json.dumps(value).encode()
        end = end_of_numbers(body, 0, len(body))
        return cls(body, 0, len(body), None if end == len(body) else end)

    def depth(self) -> int:
        """Return in how many arrays the first number is nested."""
        head = re.compile(rb"[\[ \t\r\n]*+").match(self.body, self.start, min(self.stop, self.start + PIECE_BYTES))
        return 0 if head is None else head[0].count(b"[")

    def as_list(self) -> list[object]:
        """Return the decoded JSON, for texts of limited length. Raise InvalidInput if the text is not JSON."""
        try:
            found = orjson.loads(self.body[self.start : self.stop])
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"not an array of numbers: {error.msg}") from None
        assert isinstance(found, list)
        return found

    def parse(self, wanted: Sequence[Size], pointer: str) -> Floats:
        """Return the numbers as an array with these sizes, None for any size. Raise as `parse_array`."""
        reading = _Reading(self, len(wanted))
        shape = reading.shape()
        if shape is not None and all(want in (None, size) for want, size in zip(wanted, shape, strict=True)):
            reading.numbers.flags.writeable = False
            return reading.numbers.reshape(shape)
        raise reading.find_fault(list(wanted), pointer)

    def find_fault(self, wanted: Sequence[Size], pointer: str) -> CellarError:
        """Return the error for the first fault of a text that `parse` refuses."""
        return _Reading(self, len(wanted)).find_fault(list(wanted), pointer)


def _commas(body: bytes, start: int, end: int) -> int:
    """Return the number of commas. A count over all of a long body would block other threads for 10 ms."""
    count = 0
    for at in range(start, end, _COUNTED_BYTES):
        count += body.count(b",", at, min(end, at + _COUNTED_BYTES))
        sleep(0)
    return count


def _repeats(array: bytes, cycle: bytes, count: int) -> bool:
    """Return whether an array has `count` times `cycle` after its first bracket, with a bracket as the last byte.

    It is compared piece by piece, without copies of all of it.
    """
    most = max(1, PIECE_BYTES // len(cycle))
    piece = cycle * most
    for done in range(0, count - 1, most):
        rest = min(most, count - 1 - done) * len(cycle)
        if not array.startswith(piece[:rest] if rest < len(piece) else piece, 1 + done * len(cycle)):
            return False
        sleep(0)
    return array[1 + (count - 1) * len(cycle) :] == cycle[:-1] + b"]"


class _Reading:
    """The result of reading a text: its numbers, and its brackets and commas, up to the first piece with a fault."""

    def __init__(self, text: NumberText, ndim: int) -> None:
        self._text = text
        self._ndim = ndim
        self._end = text.stop if text.fault is None else text.fault
        self.numbers = np.empty(_commas(text.body, text.start, self._end) + 1, _FLOAT32)
        self._count = 0
        self._places: list[tuple[int, int]] = []
        """For each piece, its offset in the body and in the structure."""
        structure = BytesIO()
        for start, end in self._pieces(text.start):
            self._places.append((start, structure.tell() + bool(structure.tell())))
            piece = text.body[start:end]
            if self._is_cut(end) or not self._take(piece):
                break
            structure.write(b"," if structure.tell() else b"")
            structure.write(piece.translate(None, _ALL_BUT_STRUCTURE))
            sleep(0)  # yields the interpreter lock now, and not after the switch interval of 5 ms
        self.structure = structure.getvalue()
        """The brackets and commas of the text."""

    def _pieces(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield the begin and end of pieces between commas; if a value is too long, the last piece ends inside it."""
        body, end = self._text.body, self._end
        while start <= end:
            latest = start + PIECE_BYTES + MOST_GAP_BYTES
            comma = body.find(b",", start + PIECE_BYTES, min(latest, end))
            yield start, min(latest, end) if comma < 0 else comma
            if comma < 0:
                return
            start = comma + 1

    def _is_cut(self, end: int) -> bool:
        """Return whether this offset is inside a value."""
        return end < self._end and self._text.body[end] != ord(",")

    def _take(self, piece: bytes) -> bool:
        """Read the numbers of a piece. Return whether all are finite float32 numbers."""
        if _MISPLACED.search(piece):
            return False
        try:
            # a digit comes before all white space: see `document._INDENTED`
            values = orjson.loads(b"[0,%b]" % piece.translate(_BRACKETS_TO_SPACES))
            packed = np.frombuffer(struct.pack(f"<{len(values)}f", *values), _FLOAT32)[1:]
        except (orjson.JSONDecodeError, OverflowError, struct.error):
            return False
        self.numbers[self._count : self._count + len(packed)] = packed
        self._count += len(packed)
        return True

    def shape(self) -> tuple[int, ...] | None:
        """The shape of the array, None if the text is not a regular array with the expected number of axes."""
        if self._count != len(self.numbers) or self._text.fault is not None:
            return None
        unit = self._unit()
        if unit is None:
            return None
        inner = self._inner_shape(unit)
        cycle = unit + b","
        outer, left = divmod(len(self.structure) - 1, len(cycle))
        if inner is None or left or not _repeats(self.structure, cycle, outer):
            return None
        return (outer, *inner)

    def _unit(self) -> bytes | None:
        """Return the structure of the first element of the first axis, None if there is none."""
        opening = b"[" * self._ndim
        if not opening or not self.structure.startswith(opening) or self.structure.startswith(opening + b"["):
            return None
        if self._ndim == 1:
            return b""
        end = self.structure.find(b"]" * (self._ndim - 1))
        return None if end < 0 else self.structure[1 : end + self._ndim - 1]

    def _inner_shape(self, unit: bytes) -> tuple[int, ...] | None:
        """Return the sizes of all axes except the first, None if the first element is not regular."""
        if self._ndim == 1:
            return ()
        if self._ndim > 3:  # no layout has more axes
            return None
        row = unit[self._ndim - 2 : unit.index(b"]") + 1]
        if row != b"[%b]" % (b"," * (len(row) - 2)):
            return None
        if self._ndim == 2:
            return (len(row) - 1,)
        rows, left = divmod(len(unit) - 1, len(row) + 1)
        regular = not left and _repeats(unit, row + b",", rows)
        return (rows, len(row) - 1) if regular else None

    def find_fault(self, wanted: list[Size], pointer: str) -> CellarError:
        """Return the error for the first fault; the regular pieces before it are skipped."""
        search, start = FaultSearch(self._text.body, wanted, pointer), self._text.start
        unit = self._unit()
        inner = None if unit is None else self._inner_shape(unit)
        if (
            unit is not None
            and inner is not None
            and all(want in (None, size) for want, size in zip(wanted[1:], inner, strict=True))
        ):
            start = self._pass_over(search, unit, inner)
        for begin, end in self._pieces(start):
            fault = search.look(begin, end)
            if fault is None and self._is_cut(end):
                fault = search.malformed(end, f"more than {MOST_GAP_BYTES} bytes of numbers without a comma")
            elif fault is None and end < self._end:
                fault = search.comma(end)
            if fault is not None:
                return fault
        return search.other(self._end) if self._text.fault is not None else search.malformed(self._end)

    def _pass_over(self, search: FaultSearch, unit: bytes, inner: tuple[int, ...]) -> int:
        """Start the search before the first piece that may have the fault, and return its offset."""
        cycle = unit + b","
        found = np.frombuffer(self.structure, np.uint8)[1:]
        regular = np.frombuffer(cycle * (len(found) // len(cycle) + 1), np.uint8)[: len(found)]
        differs = found != regular
        start, at = self._places[-1]
        if differs.any():
            first = 1 + int(np.argmax(differs))
            start, at = next(place for place in reversed(self._places) if place[1] <= first)
        if at:
            done, rest = divmod(at - 1, len(cycle))
            search.begin(inner, done, cycle[:rest])
        return start
