"""HTTP/1.1 as the load generator speaks it: requests built beforehand, answers parsed in pieces of any size."""

import re
from collections.abc import Callable

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")

HEAD_END = b"\r\n\r\n"


class Refused(RuntimeError):
    """A contestant answered something else than success."""


def request(path: str, body: bytes, content_type: str = "application/json", accept: str = "*/*") -> bytes:
    """Return a POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Answers:
    """Counts the complete answers in a stream of bytes. Raises Refused for one that is not 2xx.

    `keep` is called with each whole answer, head and body, if it is given.
    """

    def __init__(self, keep: Callable[[bytes], object] | None = None) -> None:
        self._buffer = b""
        self._need = 0
        self._keep = keep

    def feed(self, data: bytes) -> int:
        """Take bytes; return how many answers they complete."""
        buffer = self._buffer + data if self._buffer else data
        complete = 0
        while len(buffer) >= self._need:
            if self._need:
                complete += 1
                if self._keep:
                    self._keep(buffer[: self._need])
                buffer, self._need = buffer[self._need :], 0
                if not buffer:
                    break
            end = buffer.find(HEAD_END)
            if end < 0:
                break
            self._need = end + len(HEAD_END) + _length(buffer, end)
        self._buffer = buffer
        return complete


def _length(buffer: bytes, end: int) -> int:
    """Return the length of the body behind the head that ends at `end`."""
    found = _LENGTH.search(buffer, 0, end)
    if buffer[9:10] != b"2" or found is None:
        raise Refused(buffer[:400].decode(errors="replace"))
    return int(found[1])
