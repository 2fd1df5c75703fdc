"""Frames as a client sends and counts them."""

import numpy as np
import pytest

from benchmarks.frames import pack_answers
from benchmarks.serving.http import Refused
from benchmarks.serving.websocket import Answers, frame, one, step_frame, step_text
from cellar.wire.frames import frames


def from_server(payload: bytes, opcode: int = 2) -> bytes:
    """Return a server's frame: a client's without the mask."""
    client = frame(payload, "binary")
    mask = len(client) - len(payload) - 4
    return bytes([0x80 | opcode, client[1] & 0x7F]) + client[2:mask] + payload


@pytest.mark.parametrize("size", [1, 3, 1000, 100_000])
def test_messages_in_pieces_of_any_size(size: int) -> None:
    stream = b"".join(from_server(b"x" * length) for length in (1, 125, 126, 70_000))
    answers = Answers(one)
    assert sum(answers.feed(stream[at : at + size]) for at in range(0, len(stream), size)) == 4


def test_pings_do_not_count() -> None:
    assert Answers(one).feed(from_server(b"", 9) + from_server(b"a", 1)) == 1


def test_answers_in_frames_count_each() -> None:
    answers = [frames.Answer(0, 200, outputs=np.ones((1, 1, 3), np.float32)) for _ in range(5)]
    assert Answers(step_frame).feed(from_server(pack_answers(answers))) == 5
    with pytest.raises(Refused, match="wrong"):
        Answers(step_frame).feed(from_server(pack_answers([frames.Answer(0, 422, problem=b"wrong")])))


def test_a_problem_ends_the_run() -> None:
    assert Answers(step_text).feed(from_server(b'{"output": [1.0]}', 1)) == 1
    with pytest.raises(Refused, match="wrong"):
        Answers(step_text).feed(from_server(b'{"problem": "wrong"}', 1))


def test_a_close_ends_the_run() -> None:
    with pytest.raises(Refused, match="gone"):
        Answers(one).feed(from_server(b"\x03\xe9gone", 8))


@pytest.mark.parametrize(("size", "head"), [(5, 6), (200, 8), (70_000, 14)])
def test_a_frame_is_masked_and_as_long_as_it_says(size: int, head: int) -> None:
    made = frame(b"x" * size)
    assert len(made) == head + size
    assert made[0] == 0x81
    assert made[1] & 0x80
