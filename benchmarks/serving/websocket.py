"""WebSockets (RFC 6455) as the load generator speaks them: frames built beforehand, answers only counted."""

import base64
import os
import socket
from typing import Literal

from benchmarks.serving.http import HEAD_END, Refused

OPCODES = {"text": 1, "binary": 2}

_CLOSE = 8


def frame(payload: bytes, kind: Literal["text", "binary"] = "text") -> bytes:
    """Return a client's frame. Its mask is zero: RFC 6455 asks for one, and masking costs the server all the same."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([0x80 | OPCODES[kind]]) + length + bytes(4) + payload


def connect(sock: socket.socket, path: str) -> "Answers":
    """Shake hands on a blocking socket. Raise Refused."""
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: benchmark\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
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
    answers = Answers()
    answers.feed(head.partition(HEAD_END)[2])
    return answers


class Answers:
    """Counts the complete messages in a server's stream of bytes. Raises Refused when the server closes."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> int:
        """Take bytes; return how many messages they complete."""
        buffer = self._buffer + data if self._buffer else data
        at, complete = 0, 0
        while (end := _end(buffer, at)) <= len(buffer):
            opcode = buffer[at] & 15
            if opcode == _CLOSE:
                raise Refused(buffer[at:end].decode(errors="replace"))
            complete += bool(buffer[at] & 0x80) and opcode < _CLOSE
            at = end
        self._buffer = buffer[at:]
        return complete


def _end(buffer: bytes, at: int) -> int:
    """Return where the frame that begins at `at` ends, or more than there is if that cannot be told yet."""
    if len(buffer) < at + 2:
        return len(buffer) + 1
    size = buffer[at + 1] & 127
    wide = {126: 2, 127: 8}.get(size, 0)
    if wide:
        if len(buffer) < at + 2 + wide:
            return len(buffer) + 1
        size = int.from_bytes(buffer[at + 2 : at + 2 + wide], "big")
    return at + 2 + wide + size
