"""gzip (RFC 1952), decoded piece by piece so that a bomb is never held, and refused where it is not whole."""

import gzip
import zlib
from collections.abc import Iterator

from cellar.errors import MalformedBody

PIECE_BYTES = 256 * 1024
"""Decoded bytes handed over at a time."""

LEVEL = 1
"""Numbers as JSON come to 49% of their size, with level 6 to 45% in three times the time."""

_GZIP = 16 + zlib.MAX_WBITS


class Gunzip:
    """Decodes a stream of gzip members, in pieces of any size."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the bytes decode to, at most PIECE_BYTES at a time. Raise MalformedBody.

        Each piece is decoded when it is requested, so a caller can stop early.
        """
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            self._begun = True
            try:
                piece = self._member.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise MalformedBody(f"not gzip: {error}") from None
            if piece:
                yield piece
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def end(self) -> None:
        """Say that no more bytes come. Raise MalformedBody if they do not end with a whole member."""
        if not (self._begun and self._member.eof):
            raise MalformedBody("gzip that ends before its end")


def compress(data: bytes) -> bytes:
    """Return the data as one gzip member without a time, so that equal data are equal bytes."""
    return gzip.compress(data, LEVEL, mtime=0)
