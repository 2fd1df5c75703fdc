"""The WebSockets (RFC 6455) of the load generator: frames that are built beforehand, and a counter of answers."""

import base64
import os
import socket
from collections.abc import Callable
from typing import Literal

from benchmarks.serving.http import HEAD_END, Refused

OPCODES = {"text": 1, "binary": 2}

_CLOSE = 8

_PROBLEM = b'"problem"'

Count = Callable[[memoryview], int]
"""Returns how many answers a message has."""


def frame(payload: bytes, kind: Literal["text", "binary"] = "text") -> bytes:
    """Return a frame of a client. Its mask is zero, which RFC 6455 allows and which costs the server the same time."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([0x80 | OPCODES[kind]]) + length + bytes(4) + payload


def connect(sock: socket.socket, path: str, count: Count, *, greeted: bool) -> "Answers":
    """Do the handshake on a blocking socket, and read the greeting if the server sends one. Raise Refused."""
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while HEAD_END not in head:
        data = sock.recv(4096)
        if not data:
            break
        head += data
    if not head.startswith(b"HTTP/1.1 101"):
        raise Refused(head[:400].decode(errors="replace"))
    greeting = Answers(one)
    found = greeting.feed(head.partition(HEAD_END)[2])
    while greeted and not found:
        found = greeting.feed(sock.recv(4096))
    return Answers(count)


def one(_message: memoryview) -> int:
    """Count a message as an answer."""
    return 1


def step_text(message: memoryview) -> int:
    """Count a JSON message as the answer to a step. Raise Refused if it is a problem."""
    if _PROBLEM in bytes(message):
        raise Refused(bytes(message[:400]).decode(errors="replace"))
    return 1


def step_frame(message: memoryview) -> int:
    """Count the answers in a frame. Raise Refused if it has text, which means problems."""
    if message[16:20] != bytes(4):
        raise Refused(bytes(message[-400:]).decode(errors="replace"))
    return int.from_bytes(message[8:12], "little")


class Answers:
    """Counts the answers in a server's stream of bytes. Raises Refused when the server closes.

    All servers here send each message in one frame.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        self._buffer = b""

    def feed(self, data: bytes) -> int:
        """Parse further bytes; return how many answers they complete."""
        buffer = self._buffer + data if self._buffer else data
        view, at, complete = memoryview(buffer), 0, 0
        while True:
            start, end = _extent(buffer, at)
            if end > len(buffer):
                break
            opcode = buffer[at] & 15
            if opcode == _CLOSE:
                raise Refused(buffer[start:end].decode(errors="replace"))
            if opcode < _CLOSE:
                complete += self._count(view[start:end])
            at = end
        self._buffer = buffer[at:]
        return complete


def _extent(buffer: bytes, at: int) -> tuple[int, int]:
    """Return the begin and end of the payload of the frame at `at`; an end beyond the buffer if it is incomplete."""
    beyond = len(buffer) + 1
    if len(buffer) < at + 2:
        return beyond, beyond
    size = buffer[at + 1] & 127
    wide = {126: 2, 127: 8}.get(size, 0)
    start = at + 2 + wide
    if wide:
        if len(buffer) < start:
            return beyond, beyond
        size = int.from_bytes(buffer[at + 2 : start], "big")
    return start, start + size
