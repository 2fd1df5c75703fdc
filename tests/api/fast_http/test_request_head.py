"""Which heads the protocol takes by itself, and what they say."""

import pytest

from cellar.api.fast_http.request_head import read_head
from cellar.ports import ANYBODY
from cellar.wire.arrays import npy

MOST_BYTES = 1 << 20

URL = b"/v1/sessions/s/step"

JSON, LENGTH = (b"content-type", b"application/json"), (b"content-length", b"15")

NPY = (b"content-type", npy.MEDIA_TYPE.encode())


@pytest.mark.parametrize(
    "more",
    [
        [],
        [(b"accept", b"*/*"), (b"accept-encoding", b"gzip"), (b"user-agent", b"x"), (b"connection", b"Keep-Alive")],
        [(b"accept", b"application/x-npy;q=0.5, application/json")],
        [(b"idempotency-key", b"a key")],
        [(b"cellar-timeout-ms", b"500")],
        [(b"x-request-id", b"3f2a-1")],
        [(b"x-request-id", b"two words")],
    ],
)
def test_plain_heads_are_taken(more: list[tuple[bytes, bytes]]) -> None:
    taken = read_head(URL, [JSON, LENGTH, *more], MOST_BYTES, ANYBODY)
    assert taken is not None
    session, key, terms, request_id = taken
    said = dict(more)
    assert (session, terms.kind, terms.wants) == ("s", "step", "application/json")
    assert key == ("a key" if b"idempotency-key" in said else None)
    assert request_id == ("3f2a-1" if (b"x-request-id", b"3f2a-1") in more else None)
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
    assert read_head(URL, [JSON, LENGTH, *more], MOST_BYTES, ANYBODY) is None


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (b"/v1/sessions/s", [JSON, LENGTH]),
        (b"/v1/sessions/s/state", [JSON, LENGTH]),
        (b"/v1/sessions/%7/step", [JSON, LENGTH]),
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
    assert read_head(url, headers, 1 << 30, ANYBODY) is None


def test_the_query_of_an_npy_file_is_read() -> None:
    taken = read_head(
        b"/v1/sessions/a/sequence?step=7&layout=BTF", [NPY, LENGTH, (b"accept", NPY[1])], MOST_BYTES, ANYBODY
    )
    assert taken is not None
    session, _, terms, _ = taken
    assert (session, terms.kind, terms.reads, terms.wants) == ("a", "sequence", *[npy.MEDIA_TYPE] * 2)
    assert terms.query.model_dump(exclude_defaults=True) == {"step": 7, "layout": "BTF"}
