"""Rules of RFC 9112 on request heads that the parser does not check, above all on where a request ends.

A proxy between a client and the service must find the same requests in the same bytes. A head that two parsers may read
differently is refused and the connection closed, because it is not known where the next request begins.
"""

import re
from collections.abc import Sequence

from cellar.errors import MalformedRequest

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, and values."""

VERSIONS = ("1.0", "1.1")
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
ABSOLUTE = re.compile(rb"https?://([^/?#]+)((?:[/?].*)?)", re.IGNORECASE | re.DOTALL)
LENGTH = re.compile(rb"[0-9]{1,19}")


def check_head(method: bytes, version: str, target: bytes, headers: Headers) -> None:
    """Raise MalformedRequest if the request line, the host, or the end of the body is ambiguous."""
    if version not in VERSIONS:
        raise MalformedRequest(f"the request line says HTTP/{version}: this service speaks HTTP/1.1 and HTTP/1.0")
    _check_target(method, target)
    _check_host(version, [value for name, value in headers if name == b"host"])
    _check_framing(
        version,
        [value for name, value in headers if name == b"transfer-encoding"],
        [value for name, value in headers if name == b"content-length"],
    )


def split_target(target: bytes) -> tuple[bytes | None, bytes]:
    """Return the host in a target that is a whole URL, None in a path, and the rest as a path."""
    found = None if target.startswith(b"/") else ABSOLUTE.fullmatch(target)
    if found is None:
        return None, target
    rest = found[2]
    return found[1], rest if rest.startswith(b"/") else b"/" + rest


def _check_target(method: bytes, target: bytes) -> None:
    if method == b"CONNECT":
        raise MalformedRequest("CONNECT asks for a tunnel, and this service is no proxy")
    if b"#" in target:
        raise MalformedRequest("the request target has a fragment (#), which is for the client alone")
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return
    authority, _ = split_target(target)
    if authority is None or not HOST.fullmatch(authority):
        raise MalformedRequest("the request target is neither a path that begins with / nor a URL")


def _check_host(version: str, hosts: Sequence[bytes]) -> None:
    if len(hosts) > 1:
        raise MalformedRequest(f"{len(hosts)} Host headers: there must be one")
    if not hosts and version == "1.1":
        raise MalformedRequest("no Host header: HTTP/1.1 asks for one")
    if hosts and not HOST.fullmatch(hosts[0]):
        raise MalformedRequest("the Host header is not a host with or without a port")


def _check_framing(version: str, encodings: Sequence[bytes], lengths: Sequence[bytes]) -> None:
    if encodings:
        if version != "1.1":
            raise MalformedRequest(f"Transfer-Encoding in HTTP/{version}, which does not know it")
        if [encoding.lower() for encoding in encodings] != [b"chunked"]:
            raise MalformedRequest("expected Transfer-Encoding: chunked and no other, or a Content-Length")
        if lengths:
            raise MalformedRequest("both Transfer-Encoding and Content-Length: one of them is wrong")
    if len(lengths) > 1 or not all(LENGTH.fullmatch(length) for length in lengths):
        raise MalformedRequest("expected one Content-Length, a number of bytes in decimal digits")
