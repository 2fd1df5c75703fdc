"""Reads heads and masks of WebSocket frames, and writes messages as frames (RFC 6455, section 5)."""

from struct import Struct

import numpy as np
from numpy.typing import NDArray

from cellar.api.websocket.connection.interface import BINARY, TEXT

WHOLE_FRAME = 0x80
"""The bit of a frame's first byte that ends a message."""

WHOLE = (TEXT, BINARY)
"""First bytes of frames that are whole messages."""

CONTROL = 0x88
"""First bytes of control frames are at least this."""

KNOWN = frozenset((0x00, 0x01, 0x02, 0x80, TEXT, BINARY, 0x88, 0x89, 0x8A))
"""First bytes of frames that the protocol allows: fragments, whole messages, close, ping and pong."""

MASKED = 0x80
MASK_BYTES = 4
HEAD_BYTES = 2 + MASK_BYTES
"""Size of the head of a client's frame whose payload is SHORT."""

SHORT, MIDDLE = 126, 65536
"""Payloads of at least this many bytes have two more bytes for their length, and eight."""

ARRAY_BYTES = 512
"""Payloads from this size on are unmasked faster by NumPy than as one integer."""

_MIDDLE, _LONG = Struct(">BBH"), Struct(">BBQ")

_WORD = np.dtype("<u4")
"""The type of a mask."""


def payload_place(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return where the payload of a client's frame begins, after its mask, and how many bytes it has.

    The frame begins at `at`, and at least two bytes of it must be there. The size is negative if there is no mask.
    """
    size, start = data[at + 1] - MASKED, at + HEAD_BYTES
    if size < SHORT:
        return start, size
    length_bytes = 2 if size == SHORT else 8
    return start + length_bytes, int.from_bytes(data[at + 2 : at + 2 + length_bytes], "big")


def unmasked(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Return a payload without its mask of four bytes (5.3).

    >>> unmasked(b"Ifmmp", bytes([1, 3, 1, 1]))
    b'Hellq'
    """
    size = len(payload)
    if size < ARRAY_BYTES:
        pattern = (mask * (size // MASK_BYTES + 1))[:size]
        return (int.from_bytes(payload, "little") ^ int.from_bytes(pattern, "little")).to_bytes(size, "little")
    words: NDArray[np.uint32] = np.frombuffer(payload + bytes(-size % MASK_BYTES), _WORD) ^ np.frombuffer(mask, _WORD)
    return words.tobytes()[:size]


def framed(kind: int, payload: bytes) -> bytes:
    """Return a message as one frame of a server, which has no mask."""
    size = len(payload)
    if size < SHORT:
        return bytes((kind, size)) + payload
    head = _MIDDLE.pack(kind, 126, size) if size < MIDDLE else _LONG.pack(kind, 127, size)
    return head + payload
