"""Decodes and encodes gzip (RFC 1952). Decoding yields short pieces, so that a small body cannot fill the memory."""

import gzip
import zlib
from collections.abc import Iterator

from cellar.errors import MalformedBody

PIECE_BYTES = 256 * 1024
"""Decoded bytes that are yielded at a time."""

LEVEL = 1
"""The level of compression. Numbers as JSON shrink to 49%; level 6 gives 45% in three times the time."""

_GZIP = 16 + zlib.MAX_WBITS


class Gunzip:
    """Decodes a stream of gzip members, which arrives in pieces of any size."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes when they are requested, at most PIECE_BYTES at a time. Raise MalformedBody."""
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
        """End the stream. Raise MalformedBody if the last member is incomplete."""
        if not (self._begun and self._member.eof):
            raise MalformedBody("gzip that ends before its end")


def compress(data: bytes) -> bytes:
    """Return the data as one gzip member without a time, so that equal data are equal bytes."""
    return gzip.compress(data, LEVEL, mtime=0)
