"""Finds the first fault in the text of an array of numbers, token by token, and returns the error for it."""

import re
import struct
from collections.abc import Sequence

import orjson

from cellar.errors import CellarError, InvalidInput, MalformedJson, NotFinite, ShapeMismatch

Size = int | None

_TOKEN = re.compile(rb"[\[\],]|[^\[\], \t\r\n]+")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")

_OTHERS = {
    b'"': "a string",
    b"{": "an object",
    b"null": "null",
    b"true": "true",
    b"false": "false",
    b"NaN": "NaN",
    b"Infinity": "Infinity",
    b"-Infinity": "-Infinity",
}


class FaultSearch:
    """Reads a text token by token, and tracks the indices of the present element."""

    def __init__(self, body: bytes, wanted: list[Size], pointer: str) -> None:
        self._body = body
        self._wanted = wanted
        self._pointer = pointer
        self._counts: list[int] = []
        """For each open array, the number of elements before the present one."""
        self._full = False
        """Whether the present element is complete, so that a comma or a bracket must follow."""

    def begin(self, inner: Sequence[int], done: int, structure: bytes) -> None:
        """Start after `done` regular elements of the first axis and a part of the next one, which ends in a comma."""
        self._wanted[1:] = inner
        self._counts = [done]
        for byte in structure:
            if byte == ord("["):
                self._counts.append(0)
            elif byte == ord(","):
                self._counts[-1] += 1
            else:
                self._counts.pop()
        self._full = False

    def look(self, start: int, end: int) -> CellarError | None:
        """Return the first fault from `start` to `end`, None if there is none."""
        for token in _TOKEN.finditer(self._body, start, end):
            fault = self._look_at(token[0], token.start())
            if fault is not None:
                return fault
        return None

    def comma(self, at: int) -> CellarError | None:
        """Read the comma between two pieces."""
        return self._look_at(b",", at)

    def other(self, at: int) -> CellarError:
        """Return the error for a text that is not part of a number."""
        actual = next((name for text, name in _OTHERS.items() if self._body.startswith(text, at)), None)
        if actual is None or self._full:
            return self.malformed(at)
        if len(self._counts) < len(self._wanted):
            return self._too_flat(actual)
        kind = NotFinite if actual.endswith(("NaN", "Infinity")) else InvalidInput
        expected = "a finite number" if kind is NotFinite else "a number"
        detail = f"expected {expected}, found {actual}" + (NO_QUOTES if actual == "a string" else "")
        return kind(detail, pointer=self._path(), expected=expected, actual=actual)

    def malformed(self, at: int, reason: str = "not an array of numbers") -> MalformedJson:
        """Return the error for text that is not JSON."""
        return malformed(self._body, at, reason)

    def _look_at(self, token: bytes, at: int) -> CellarError | None:
        if token == b"[":
            return self._open(at)
        if token == b",":
            if not self._full or not self._counts:
                return self.malformed(at)
            self._counts[-1] += 1
            self._full = False
            return None
        if token == b"]":
            return self._close(at)
        return self._number(token, at)

    def _open(self, at: int) -> CellarError | None:
        if self._full:
            return self.malformed(at)
        if len(self._counts) == len(self._wanted):
            found = "an array"
            return ShapeMismatch(
                f"expected a number, found {found}", pointer=self._path(), expected="a number", actual=found
            )
        self._counts.append(0)
        return None

    def _close(self, at: int) -> CellarError | None:
        if not self._counts or (self._counts[-1] and not self._full):
            return self.malformed(at)
        size = self._counts.pop() + self._full
        axis = len(self._counts)
        want = self._wanted[axis]
        self._full = True
        if size == 0 or want not in (None, size):
            expected = "at least 1 element" if want is None else elements(want)
            return ShapeMismatch(
                f"expected {expected}, found {size}", pointer=self._path(), expected=expected, actual=elements(size)
            )
        self._wanted[axis] = size
        return None

    def _number(self, token: bytes, at: int) -> CellarError | None:
        number = _NUMBER.match(token)
        if self._full or number is None or number.end() != len(token):
            return self.malformed(at)
        if len(self._counts) < len(self._wanted):
            return self._too_flat("a number")
        self._full = True
        if not _is_float32(token):
            expected = "a finite number within the range of float32"
            actual = _size_of(token)
            return NotFinite(f"expected {expected}", pointer=self._path(), expected=expected, actual=actual)
        return None

    def _too_flat(self, actual: str) -> ShapeMismatch:
        axes, depth = len(self._wanted), len(self._counts)
        return ShapeMismatch(
            f"expected {axes} nested arrays, found {actual} at depth {depth}",
            pointer=self._path(),
            expected="an array of numbers" if depth == axes - 1 else "an array of arrays",
            actual=actual,
        )

    def _path(self) -> str:
        return self._pointer + "".join(f"/{count}" for count in self._counts)


NO_QUOTES = ", and a number has no quotes"
"""The hint for strings in the place of numbers."""


def elements(count: int) -> str:
    """Return a number of elements in words."""
    return f"{count} element" if count == 1 else f"{count} elements"


def malformed(body: bytes, at: int, reason: str) -> MalformedJson:
    """Return the error for a body that is not JSON from an offset on."""
    text = body[:at].decode(errors="replace")
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return MalformedJson(f"line {line} column {column}: {reason}", line=line, column=column, offset=len(text))


def _is_float32(token: bytes) -> bool:
    try:
        struct.pack("<f", orjson.loads(token))
    except (OverflowError, orjson.JSONDecodeError):
        return False
    return True


def _size_of(token: bytes) -> str:
    """Return the magnitude of a number in words: inputs may be private, so only numbers beyond float64 are repeated."""
    try:
        return f"about {orjson.loads(token):.1e}"
    except orjson.JSONDecodeError:
        return token.decode() if len(token) < 30 else f"a number of {len(token)} digits"
