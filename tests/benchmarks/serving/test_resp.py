"""Replies of Redis are what they have to be, or the run ends."""

import pytest

from benchmarks.serving.http import Refused
from benchmarks.serving.resp import Answers


@pytest.mark.parametrize("size", [1, 5, 100])
def test_replies_in_pieces_of_any_size(size: int) -> None:
    stream = b":0\r\n:0\r\n" * 3
    answers = Answers(b":0\r\n:0\r\n")
    assert [answers.feed(stream[at : at + size]) for at in range(0, len(stream), size)].count(1) in (0, 3)
    assert answers.feed(stream) == 3


@pytest.mark.parametrize("stream", [b"-ERR no\r\n", b":0\r\n:1\r\n", b":0\r\n*1\r\n"])
def test_another_reply_ends_the_run(stream: bytes) -> None:
    with pytest.raises(Refused):
        Answers(b":0\r\n:0\r\n").feed(stream)
