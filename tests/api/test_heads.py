"""Which heads the protocol takes by itself, and that one it has seen is read as the first time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.api.heads import Seen, read_head
from cellar.wire import npy

MOST_BYTES = 1 << 20

URL = b"/v1/sessions/s/step"

JSON, LENGTH = (b"content-type", b"application/json"), (b"content-length", b"15")

NPY = (b"content-type", npy.MEDIA_TYPE.encode())

HEAD = b"/step HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n"


def head(session: bytes, length: int, rest: bytes = HEAD) -> bytes:
    return b"POST /v1/sessions/" + session + rest % length


def seen(data: bytes) -> Seen | None:
    """Return the head of a plain step in JSON as it was taken."""
    taken = read_head(URL, [JSON, LENGTH], MOST_BYTES)
    assert taken is not None
    return Seen.in_data(data, taken[1], MOST_BYTES)


@pytest.mark.parametrize(
    "more",
    [
        [],
        [(b"accept", b"*/*"), (b"accept-encoding", b"gzip"), (b"user-agent", b"x"), (b"connection", b"Keep-Alive")],
        [(b"accept", b"application/x-npy;q=0.5, application/json")],
        [(b"idempotency-key", b"a key")],
        [(b"cellar-timeout-ms", b"500")],
    ],
)
def test_plain_heads_are_taken(more: list[tuple[bytes, bytes]]) -> None:
    taken = read_head(URL, [JSON, LENGTH, *more], MOST_BYTES)
    assert taken is not None
    session, terms = taken
    said = dict(more)
    assert (session, terms.sequence, terms.wants) == ("s", False, "application/json")
    assert terms.key == ("a key" if b"idempotency-key" in said else None)
    assert terms.within_s == (0.5 if b"cellar-timeout-ms" in said else None)


@pytest.mark.parametrize(
    "more",
    [
        [(b"accept", b"text/html")],
        [(b"idempotency-key", b"")],
        [(b"idempotency-key", b"\xe9")],
        [(b"cellar-timeout-ms", b"0")],
        [(b"cellar-timeout-ms", b"soon")],
        [(b"connection", b"upgrade")],
        [(b"expect", b"100-continue")],
        [(b"content-encoding", b"gzip")],
        [(b"transfer-encoding", b"chunked")],
        [(b"origin", b"https://example.org")],
        [LENGTH],
    ],
)
def test_heads_that_ask_for_more_are_left(more: list[tuple[bytes, bytes]]) -> None:
    assert read_head(URL, [JSON, LENGTH, *more], MOST_BYTES) is None


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (b"/v1/sessions/s", [JSON, LENGTH]),
        (b"/v1/sessions/s/state", [JSON, LENGTH]),
        (b"/v1/sessions/%73/step", [JSON, LENGTH]),
        (b"http://x/v1/sessions/s/step", [JSON, LENGTH]),
        (URL + b"?step=1", [JSON, LENGTH]),
        (URL + b"?step=x", [NPY, LENGTH]),
        (URL + b"?step=1#x", [NPY, LENGTH]),
        (URL + b"?layout=TF", [NPY, LENGTH]),
        (URL, [JSON]),
        (URL, [LENGTH]),
        (URL, [JSON, (b"content-length", b"+1")]),
        (URL, [JSON, (b"content-length", b"65537")]),
        (URL, [NPY, (b"content-length", b"1048577")]),
        (b"/v1/sessions/s/sequence", [JSON, LENGTH]),
    ],
)
def test_requests_that_are_not_plain_are_left(url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    assert read_head(url, headers, 1 << 30) is None


def test_the_query_of_an_npy_file_is_read() -> None:
    taken = read_head(b"/v1/sessions/a/sequence?step=7&layout=BTF", [NPY, LENGTH, (b"accept", NPY[1])], MOST_BYTES)
    assert taken is not None
    assert (taken[0], taken[1].sequence, taken[1].reads, taken[1].wants) == ("a", True, *[npy.MEDIA_TYPE] * 2)
    assert taken[1].query.model_dump(exclude_defaults=True) == {"step": 7, "layout": "BTF"}


@given(st.from_regex(rb"[A-Za-z0-9._-]{1,128}", fullmatch=True), st.binary(max_size=300))
def test_a_head_that_was_seen_is_split_where_its_body_begins(session: bytes, body: bytes) -> None:
    first = seen(head(b"s", 15) + b'{"input": [1]')
    assert first is not None
    assert first.split(head(session, len(body)) + body) == (session.decode(), body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        head(b"s", 2)[:-1],
        head(b"s", 2) + b"{",
        head(b"s", 2) + b"{} ",
        head(b"s", 2) + b"{}" + head(b"s", 2) + b"{}",
        head(b"s", -1) + b"{}",
        head(b"s/x", 2) + b"{}",
        head(b"s" * 129, 2) + b"{}",
        b" " + head(b"s", 2) + b"{}",
        head(b"s", 2).replace(b"POST", b"PUT") + b"{}",
        head(b"s", 2).replace(b"1.1", b"1.0") + b"{}",
        head(b"s", 2).replace(b"Host", b"host") + b"{}",
        head(b"s", 2).replace(b"Host: x", b"Host: x\r\nExpect: 100-continue") + b"{}",
        head(b"s", 2).replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + b"{}",
        head(b"s", 65537) + b" " * 65537,
    ],
)
def test_anything_else_is_for_the_parser(data: bytes) -> None:
    first = seen(head(b"s", 2) + b"{}")
    assert first is not None
    assert first.split(data) is None


@pytest.mark.parametrize(
    "data",
    [
        head(b"s", 2)[:-2],
        head(b"s", 2).replace(b"\r\n", b"\n") + b"{}",
        b"\r\n" + head(b"s", 2) + b"{}",
        head(b"s", 2).replace(b"Content-Length: 2", b"Content-Length: 2 ") + b"{}",
    ],
)
def test_a_head_in_another_form_than_usual_is_parsed_each_time(data: bytes) -> None:
    assert seen(data) is None
