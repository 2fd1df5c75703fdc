"""Divides a stream of bytes, which arrives in pieces of any size, into frames."""

from collections.abc import Iterator

from cellar.errors import BodyTooLarge, MalformedBody
from cellar.wire.frames.layout import HEADER, frame_bytes, read_header

MAX_RECORDS = 4096
"""The most records of a received frame: reading them takes some ten milliseconds, without interruption."""


class FrameSplitter:
    """Divides a stream of bytes into frames of at most `max_bytes` and MAX_RECORDS records."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held = bytearray()

    @property
    def held_bytes(self) -> int:
        """Return the number of bytes of an incomplete frame."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add bytes and yield the frames that are complete now; after these, raise MalformedBody or BodyTooLarge.

        The size in a header is checked before anything is stored, so never more bytes than the limit are held.
        """
        self._held += data
        while len(self._held) >= HEADER.size:
            size = frame_bytes(self._held)
            records = read_header(self._held)[1]
            if records > MAX_RECORDS:
                raise BodyTooLarge(f"a frame may have {MAX_RECORDS} records, this one has {records}")
            if size > self._max:
                raise BodyTooLarge(f"a frame may have {self._max} bytes (CELLAR_MAX_BODY_BYTES), this one has {size}")
            if len(self._held) < size:
                break
            frame = bytes(self._held[:size])
            del self._held[:size]
            yield frame

    def end(self) -> None:
        """End the stream. Raise MalformedBody if a frame is incomplete."""
        if self._held:
            raise MalformedBody(f"the body ends inside a frame, after {len(self._held)} bytes of it")
