"""The HTTP/1.1 of the load generator: requests that are built beforehand, and a parser that counts answers."""

import json
import re
from collections.abc import Callable

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")

_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)

HEAD_END = b"\r\n\r\n"


class Refused(RuntimeError):
    """A server has answered with an error."""


def request(path: str, body: bytes, content_type: str = "application/json", accept: str = "*/*") -> bytes:
    """Return a POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def post(path: str, document: object) -> bytes:
    """Return a POST request of a JSON document."""
    return request(path, json.dumps(document).encode())


def get(path: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()


class Answers:
    """Counts the complete answers in a stream of bytes, chunked or not. Raises Refused for an answer that is not 2xx.

    If `keep` is given, it is called with each complete answer, head and body.
    """

    def __init__(self, keep: Callable[[bytes], object] | None = None) -> None:
        self._buffer = b""
        self._need = 0
        self._chunk = 0
        self._keep = keep

    def feed(self, data: bytes) -> int:
        """Parse further bytes; return how many answers they complete."""
        buffer = self._buffer + data if self._buffer else data
        complete = 0
        while len(buffer) >= self._need and (self._need or self._begin(buffer)):
            if len(buffer) < self._need or (self._chunk and not self._end_chunks(buffer)):
                continue
            complete += 1
            if self._keep:
                self._keep(buffer[: self._need])
            buffer, self._need, self._chunk = buffer[self._need :], 0, 0
        self._buffer = buffer
        return complete

    def _begin(self, buffer: bytes) -> bool:
        """Read the head of an answer; return whether it is complete."""
        end = buffer.find(HEAD_END)
        if end < 0:
            return False
        body = end + len(HEAD_END)
        length = _LENGTH.search(buffer, 0, end)
        if buffer[9:10] != b"2" or not (length or _CHUNKED.search(buffer, 0, end)):
            raise Refused(buffer[:400].decode(errors="replace"))
        self._need, self._chunk = (body + int(length[1]), 0) if length else (body + 1, body)
        return True

    def _end_chunks(self, buffer: bytes) -> bool:
        """Read chunks; return whether the last one is complete, otherwise set how many bytes are needed."""
        while (end := buffer.find(b"\r\n", self._chunk)) >= 0:
            size = int(buffer[self._chunk : end], 16)
            self._need = end + 2 + size + 2
            if len(buffer) < self._need:
                return False
            if size == 0:
                return True
            self._chunk = self._need
        self._need = len(buffer) + 1
        return False
