"""Frames are written and unmasked as the library of WebSockets does it."""

import os

import pytest
from websockets.utils import apply_mask

from cellar.api.websocket.connection.frame_codec import ARRAY_BYTES, framed, unmasked
from cellar.api.websocket.connection.interface import BINARY


def test_frames_are_written_as_the_library_reads_them() -> None:
    for size in (0, 125, 126, 65535, 65536):
        head = framed(BINARY, b"y" * size)[: -size or None]
        wide = {125: 0, 126: 2, 65535: 2, 65536: 8}.get(size, 0)
        assert head[0] == BINARY
        assert len(head) == 2 + wide
        assert (int.from_bytes(head[2:], "big") if wide else head[1]) == size


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, *range(ARRAY_BYTES - 1, ARRAY_BYTES + 4), 65_537])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_masks_are_taken_off_as_the_library_does_it(size: int, kind: type[bytes | bytearray]) -> None:
    payload, mask = os.urandom(size), os.urandom(4)
    found = unmasked(kind(payload), kind(mask))
    assert found == apply_mask(payload, mask)
    assert type(found) is bytes
