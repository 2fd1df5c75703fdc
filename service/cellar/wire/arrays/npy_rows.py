"""Reads an npy file of any length while it arrives: its header, then the entries of its first axis."""

import math

import numpy as np

from cellar.errors import InvalidInput, MalformedBody, ShapeMismatch
from cellar.wire.arrays.npy import MAGIC, MOST_HEADER_BYTES, Floats, cast, check_type, read_header

_PREFIX_BYTES = len(MAGIC) + 2 + 4
"""Bytes of the magic, the version, and the longer of the two forms of the header's length."""


class NpyRows:
    """Divides a stream of bytes, which arrives in pieces of any size, into entries of the first axis, as float32.

    Each entry must have one of `shapes`. If two of them have the same size, entries get the last one. With `padded`
    numbers that are not finite are accepted, because they may be padding.
    """

    def __init__(self, *shapes: tuple[int, ...], padded: bool = False) -> None:
        self._shapes = shapes
        self._padded = padded
        self._held = bytearray()
        self._kind: np.dtype[np.generic] | None = None
        self._count = self._read = 0

    @property
    def held_bytes(self) -> int:
        """Return the number of bytes of an incomplete entry."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Floats]:
        """Add bytes and return the entries that are complete now, as one array.

        Raise MalformedBody for an invalid file or one with more data than its header says, InvalidInput for another
        type, ShapeMismatch for other entries, and NotFinite with the indices of the first number that float32 cannot
        represent.
        """
        self._held += data
        if self._kind is None and not self._begin(ended=False):
            return []
        assert self._kind is not None
        shape = self._shapes[-1]
        size = math.prod(shape) * self._kind.itemsize
        whole = len(self._held) // size
        if self._read + whole > self._count or (self._read + whole == self._count and len(self._held) > whole * size):
            raise MalformedBody(f"an npy file with more behind its {self._count} entries")
        if not whole:
            return []
        found = np.frombuffer(bytes(self._held[: whole * size]), self._kind).reshape(whole, *shape)
        del self._held[: whole * size]
        first, self._read = self._read, self._read + whole
        return [cast(found, first, padded=self._padded)]

    def end(self) -> list[Floats]:
        """End the stream. Raise MalformedBody if the file is incomplete."""
        if self._kind is None:
            self._begin(ended=True)
        if self._held or self._read < self._count:
            raise MalformedBody(f"an npy file that ends after {self._read} of {self._count} entries")
        return []

    def _begin(self, *, ended: bool) -> bool:
        """Read the header if it is complete, and return whether it is."""
        if not (ended or self._has_header()):
            return False
        descr, fortran, shape, at = read_header(bytes(self._held[: _PREFIX_BYTES + MOST_HEADER_BYTES]))
        check_type(descr)
        if fortran:
            raise InvalidInput(
                "an npy file in Fortran order, which ends before its first step is whole",
                expected="C order, as `numpy.ascontiguousarray` makes it",
                actual="Fortran order",
            )
        if shape[1:] not in self._shapes or not shape[:1]:
            expected = " or ".join(f"(T, {', '.join(map(str, one))})" for one in self._shapes)
            raise ShapeMismatch("an npy file of another shape", expected=expected, actual=str(shape)[:80])
        self._kind, self._count = np.dtype(descr), shape[0]
        del self._held[:at]
        return True

    def _has_header(self) -> bool:
        """Return whether the header is complete, or longer than any valid one."""
        held = self._held
        if len(held) < _PREFIX_BYTES:
            return not MAGIC.startswith(held[: len(MAGIC)])
        length = int.from_bytes(held[8:10] if held[6] == 1 else held[8:12], "little")
        return len(held) >= _PREFIX_BYTES + min(length, MOST_HEADER_BYTES)
