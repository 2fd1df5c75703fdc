"""Lines: newline-delimited JSON, a document a line."""

from collections.abc import Iterator

from cellar.errors import BodyTooLarge

MEDIA_TYPE = "application/x-ndjson"


def is_blank(line: bytes) -> bool:
    """Return whether a line has nothing but white space. Readers pass over such lines."""
    return not line or line.isspace()


class LineSplitter:
    r"""Cuts a stream of bytes, in pieces of any size, into lines of at most `max_bytes`; the last needs no newline.

    Blank lines are yielded too: there may be a million of them, and the reader may let others have a turn in between.

    >>> splitter = LineSplitter(100)
    >>> [*splitter.feed(b'{"a": 1}\n{"a"')], [*splitter.feed(b': 2}\r\n3')], splitter.end()
    ([b'{"a": 1}'], [b'{"a": 2}\r'], [b'3'])
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held: list[bytes] = []
        self._size = 0

    @property
    def held_bytes(self) -> int:
        """Return the number of bytes of an incomplete line."""
        return self._size

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes and yield the lines that are whole now; at one that is too long, raise BodyTooLarge."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            yield self._whole(line)
        self._size += len(rest)
        if rest:
            self._held.append(rest)
        if self._size > self._max:
            raise self._too_long()

    def end(self) -> list[bytes]:
        """Say that no more bytes come, and return the last line if it has no newline."""
        rest, self._held = b"".join(self._held), []
        return [] if is_blank(rest) else [rest]

    def _whole(self, line: bytes) -> bytes:
        if self._held:
            line = b"".join((*self._held, line))
            self._held, self._size = [], 0
        if len(line) > self._max:
            raise self._too_long()
        return line

    def _too_long(self) -> BodyTooLarge:
        return BodyTooLarge(f"a line may have {self._max} bytes (CELLAR_MAX_BODY_BYTES), this one has more")
