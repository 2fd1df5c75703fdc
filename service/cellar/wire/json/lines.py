"""Divides newline-delimited JSON into lines."""

from collections.abc import Iterator

from cellar.errors import BodyTooLarge

MEDIA_TYPE = "application/x-ndjson"


def is_blank(line: bytes) -> bool:
    """Return whether a line has only white space. Readers skip such lines."""
    return not line or line.isspace()


class LineSplitter:
    r"""Divides a stream of bytes into lines of at most `max_bytes`. The last line needs no newline.

    Blank lines are yielded too, so that a reader can run other tasks in between if there are millions of them.

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
        """Add bytes and yield the lines that are complete now. Raise BodyTooLarge at a line that is too long."""
        lines, error = self.split(data)
        yield from lines
        if error is not None:
            raise error

    def split(self, data: bytes) -> tuple[list[bytes], BodyTooLarge | None]:
        """Add bytes, and return the lines that are complete now, with the error of one behind them that is too long."""
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._held:
            lines[0] = b"".join((*self._held, lines[0]))
            self._held, self._size = [], 0
        for at, line in enumerate(lines):
            if len(line) > self._max:
                return lines[:at], self._too_long()
        if rest:
            self._size += len(rest)
            self._held.append(rest)
        return lines, self._too_long() if self._size > self._max else None

    def end(self) -> list[bytes]:
        """End the stream, and return the last line if it has no newline."""
        rest, self._held = b"".join(self._held), []
        return [] if is_blank(rest) else [rest]

    def _too_long(self) -> BodyTooLarge:
        return BodyTooLarge(f"a line may have {self._max} bytes (CELLAR_MAX_BODY_BYTES), this one has more")
