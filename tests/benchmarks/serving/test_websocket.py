"""Frames as a client sends and counts them."""

import pytest

from benchmarks.serving.http import Refused
from benchmarks.serving.websocket import Answers, frame


def from_server(payload: bytes, opcode: int = 2, *, final: bool = True) -> bytes:
    """Return a server's frame: a client's without the mask."""
    client = frame(payload, "binary")
    mask = len(client) - len(payload) - 4
    return bytes([0x80 * final | opcode, client[1] & 0x7F]) + client[2:mask] + payload


@pytest.mark.parametrize("size", [1, 3, 1000, 100_000])
def test_messages_in_pieces_of_any_size(size: int) -> None:
    stream = b"".join(from_server(b"x" * length) for length in (1, 125, 126, 70_000))
    answers = Answers()
    assert sum(answers.feed(stream[at : at + size]) for at in range(0, len(stream), size)) == 4


def test_only_whole_messages_count() -> None:
    ping, first, last = from_server(b"", 9), from_server(b"a", 2, final=False), from_server(b"b", 0)
    assert Answers().feed(ping + first) == 0
    assert Answers().feed(ping + first + last) == 1


def test_a_close_ends_the_run() -> None:
    with pytest.raises(Refused, match="gone"):
        Answers().feed(from_server(b"\x03\xe9gone", 8))


@pytest.mark.parametrize(("size", "head"), [(5, 6), (200, 8), (70_000, 14)])
def test_a_frame_is_masked_and_as_long_as_it_says(size: int, head: int) -> None:
    made = frame(b"x" * size)
    assert len(made) == head + size
    assert made[0] == 0x81
    assert made[1] & 0x80
