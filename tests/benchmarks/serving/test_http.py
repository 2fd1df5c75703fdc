"""Answers are counted whole, however the stream is cut."""

import pytest

from benchmarks.serving.http import Answers, Refused, request

ONE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\n0123456789\r\n3210\r\n0\r\n\r\n"
TWO = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nx: y\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_answers_in_pieces_of_any_size(size: int) -> None:
    kept: list[bytes] = []
    answers = Answers(kept.append)
    stream = ONE + TWO + CHUNKED + ONE + CHUNKED
    counts = [answers.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
    assert sum(counts) == 5
    assert kept == [ONE, TWO, CHUNKED, ONE, CHUNKED]


def test_an_answer_counts_when_its_last_byte_has_come() -> None:
    answers = Answers()
    assert answers.feed(ONE[:-1]) == 0
    assert answers.feed(ONE[-1:]) == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_is_no_success_of_a_known_length_ends_the_run(answer: bytes) -> None:
    with pytest.raises(Refused, match=r"HTTP/1\.1"):
        Answers().feed(answer)


def test_a_request_says_how_long_it_is() -> None:
    head, _, body = request("/there", b"12345").partition(b"\r\n\r\n")
    assert head.startswith(b"POST /there HTTP/1.1\r\n")
    assert b"Content-Length: 5" in head
    assert body == b"12345"
