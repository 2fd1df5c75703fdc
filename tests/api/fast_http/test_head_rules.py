"""What a head must say to be one request to every reader."""

import pytest

from cellar.api.fast_http.head_rules import check_head, split_target
from cellar.errors import MalformedRequest

HOST = (b"host", b"localhost:8080")


@pytest.mark.parametrize(
    ("version", "target", "headers"),
    [
        ("1.1", b"/v1/models?x=1", [HOST, (b"content-length", b"0")]),
        ("1.1", b"http://localhost/v1", [(b"host", b"[::1]:80"), (b"transfer-encoding", b"Chunked")]),
        ("1.1", b"/", [(b"host", b"")]),
        ("1.0", b"/", []),
    ],
)
def test_good_heads(version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    check_head(b"POST", version, target, headers)


@pytest.mark.parametrize(
    ("method", "version", "target", "headers"),
    [
        (b"GET", "2.0", b"/", [HOST]),
        (b"GET", "0.9", b"/", [HOST]),
        (b"CONNECT", "1.1", b"localhost:80", [HOST]),
        (b"GET", "1.1", b"*", [HOST]),
        (b"GET", "1.1", b"http://", [HOST]),
        (b"GET", "1.1", b"http://a b/", [HOST]),
        (b"GET", "1.1", b"/x#y", [HOST]),
        (b"GET", "1.1", b"/", []),
        (b"GET", "1.1", b"/", [HOST, HOST]),
        (b"GET", "1.0", b"/", [HOST, HOST]),
        (b"GET", "1.1", b"/", [(b"host", b"user@localhost")]),
        (b"GET", "1.1", b"/", [(b"host", b"localhost:http")]),
        (b"POST", "1.1", b"/", [HOST, (b"transfer-encoding", b"gzip, chunked")]),
        (b"POST", "1.1", b"/", [HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")]),
        (b"POST", "1.1", b"/", [HOST, (b"transfer-encoding", b"chunked"), (b"content-length", b"3")]),
        (b"POST", "1.0", b"/", [HOST, (b"transfer-encoding", b"chunked")]),
        (b"POST", "1.1", b"/", [HOST, (b"content-length", b"3"), (b"content-length", b"3")]),
        (b"POST", "1.1", b"/", [HOST, (b"content-length", b"+3")]),
        (b"POST", "1.1", b"/", [HOST, (b"content-length", b"")]),
        (b"POST", "1.1", b"/", [HOST, (b"content-length", b"9" * 20)]),
    ],
)
def test_bad_heads(method: bytes, version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(MalformedRequest):
        check_head(method, version, target, headers)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/a?b", (None, b"/a?b")),
        (b"//a/b", (None, b"//a/b")),
        (b"*", (None, b"*")),
        (b"HTTP://a:80/b?c", (b"a:80", b"/b?c")),
        (b"https://a?b", (b"a", b"/?b")),
        (b"http://a", (b"a", b"/")),
    ],
)
def test_the_host_of_a_target(target: bytes, parts: tuple[bytes | None, bytes]) -> None:
    assert split_target(target) == parts
