"""What h11, a strict parser, finds in a stream, with the exceptions on which the service differs on purpose.

h11 does not look at everything that a server must look at, and takes some old forms that RFC 9112 lets a server refuse.
Where the service is stricter stands in `STRICTER`; where it is kinder, in `readable`. There is no other difference.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import h11

from tests.api.differential.readings import End, Headers, Reading, Request

METHODS = frozenset(
    b"DELETE GET HEAD POST PUT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND UNBIND"
    b" ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK UNLINK"
    b" SOURCE QUERY".split()
)
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]{0,5})?")
WEB = re.compile(rb"(?i)https?://([^/?#]+)")
PATH = re.compile(rb"/[^#]*")
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
BLANKS = re.compile(rb"\A([^\s]+) +([^\s]+) +(HTTP/)")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BLANK = (b" ", b"\t")
FRAMING = re.compile(rb"(?im)^(transfer-encoding|content-length):")
CLOSING = re.compile(rb"(?im)^connection:([^\r\n]*,)?[ \t]*close[ \t]*[,\r]")
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*"
SIZE_LINE = re.compile(rb'[0-9A-Fa-f]{1,16}(;%s(=(%s|"[^"\r\n]*"))?)*(?<!;)\r\n' % (TOKEN, TOKEN))
"""The parser refuses a semicolon before the end (RFC 9112, 7.1.1), and takes other extensions without a name."""


@dataclass(frozen=True)
class Seen:
    """A request as h11 has read it, and its bytes."""

    method: bytes
    target: bytes
    version: bytes
    headers: Headers
    raw_head: bytes

    def said(self, name: bytes) -> list[bytes]:
        """Return the values of a header."""
        return [value for found, value in self.headers if found == name]

    def lines(self) -> list[bytes]:
        """Return the lines of the head as they came, without the empty one."""
        return self.raw_head.split(b"\n")[:-2]


@dataclass(frozen=True)
class Stricter:
    """Something that h11 takes and the service refuses, and why it may."""

    what: str
    why: str
    applies: Callable[[Seen], bool]


STRICTER = (
    Stricter(
        "a version other than 1.0 and 1.1",
        "RFC 9112, 2.3: a server answers in a version that it speaks, or says that it does not (505, here 400)",
        lambda seen: seen.version not in (b"1.0", b"1.1"),
    ),
    Stricter(
        "CONNECT",
        "RFC 9110, 9.3.6: only a proxy makes tunnels",
        lambda seen: seen.method == b"CONNECT",
    ),
    Stricter(
        "a method that is not registered",
        "RFC 9110, 9.1: a method that is not known is refused (501, here 400)",
        lambda seen: seen.method not in METHODS,
    ),
    Stricter(
        "a target that is neither a path nor an http URL, or has a fragment",
        "RFC 9112, 3.2: the four forms of a target; 3: an invalid request line is answered with 400",
        lambda seen: not _good_target(seen),
    ),
    Stricter(
        "a Host that is no host",
        "RFC 9112, 3.2: a server MUST answer 400 to an invalid Host",
        lambda seen: not all(HOST.fullmatch(host) for host in seen.said(b"host")),
    ),
    Stricter(
        "Transfer-Encoding with Content-Length, or in HTTP/1.0",
        "RFC 9112, 6.1: the framing is faulty, and a server may refuse it",
        lambda seen: (
            bool(seen.said(b"transfer-encoding")) and (seen.version == b"1.0" or bool(seen.said(b"content-length")))
        ),
    ),
    Stricter(
        "a Content-Length that stands twice, even with one value",
        "RFC 9112, 6.3: a server may take such a list or refuse it",
        lambda seen: (
            len(re.findall(rb"(?im)^content-length:", seen.raw_head)) > 1
            or any(b"," in line for line in seen.lines() if line.lower().startswith(b"content-length:"))
        ),
    ),
    Stricter(
        "a Content-Length of more than 19 digits",
        "RFC 9110, 8.6: a recipient must not be led astray by a number that it cannot hold",
        lambda seen: any(len(length) > 19 for length in seen.said(b"content-length")),
    ),
    Stricter(
        "a header that goes on in the next line",
        "RFC 9112, 5.2: a server MUST refuse obs-fold or replace it",
        lambda seen: any(line[:1] in BLANK for line in seen.lines()[1:]),
    ),
    Stricter(
        "a line that ends with a line feed alone",
        "RFC 9112, 2.2: a recipient MAY recognise it as the end of a line",
        lambda seen: re.search(rb"(?<!\r)\n", seen.raw_head) is not None,
    ),
    Stricter(
        "a control character in a header",
        "RFC 9110, 5.5: such a value is invalid",
        lambda seen: any(CONTROL.search(line.removesuffix(b"\r")) for line in seen.lines()[1:]),
    ),
)


def readable(stream: bytes) -> bytes:
    """Return a stream from its first request on, with single blanks in its request line.

    RFC 9112, 2.2: a server SHOULD ignore at least one empty line before the request line. 3: it MAY take several blanks
    between the words of a request line for one. h11 refuses both.
    """
    return BLANKS.sub(rb"\1 \2 \3", stream.lstrip(b"\r\n"), count=1)


def read(stream: bytes) -> Reading:
    """Return what stands in a stream."""
    reading = Reading()
    while rest := readable(stream):
        stream = _read_one(rest, reading)
        if reading.end is not End.CLEAN:
            break
    return reading


def _read_one(stream: bytes, reading: Reading) -> bytes:
    """Read one request from the start of a stream; return what is left of it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(stream)
    try:
        head = connection.next_event()
        if head is h11.NEED_DATA:
            reading.end = End.CUT
            return b""
        assert isinstance(head, h11.Request)
        raw_head = stream[: len(stream) - len(connection.trailing_data[0])]
        return _read_body(connection, head, raw_head, reading)
    except h11.RemoteProtocolError as error:
        reading.end, reading.why = End.REFUSED, str(error)
        return b""


def _read_body(connection: h11.Connection, head: h11.Request, raw_head: bytes, reading: Reading) -> bytes:
    seen = Seen(head.method, head.target, head.http_version, list(head.headers), raw_head)
    if PREFACE.startswith(raw_head + connection.trailing_data[0]) and raw_head + connection.trailing_data[0] != PREFACE:
        reading.end = End.CUT  # the parser knows the beginning of HTTP/2, and refuses it once it is whole
        return b""
    broken = next((rule for rule in STRICTER if rule.applies(seen)), None)
    if broken is not None:
        reading.end, reading.why = End.REFUSED, broken.what
        return b""
    rest = connection.trailing_data[0]
    if _is_handshake(seen):
        # RFC 6455, 4.1: a client waits for the answer before it sends more. What comes too early is refused.
        reading.end, reading.or_end = End.UPGRADED, End.REFUSED if rest else None
        return b""
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    if event is h11.NEED_DATA or event is h11.PAUSED:
        whole = not seen.said(b"transfer-encoding") or _trailers_of(rest, whole=False) is not None
        reading.end = End.CUT if whole else End.REFUSED
        return b""
    left = connection.trailing_data[0]
    trailers = _trailers_of(rest[: len(rest) - len(left)]) if seen.said(b"transfer-encoding") else b""
    if trailers is None:
        reading.end, reading.why = End.REFUSED, "chunks or trailers that RFC 9112, 7.1 does not know"
        return b""
    reading.requests.append(_request(seen, body))
    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    # RFC 9110, 6.5.1 does not let a trailer say this; who says it anyway is not sent more than the answer.
    if connection.our_state is h11.MUST_CLOSE or CLOSING.search(trailers):
        reading.end = End.CLOSED
    return left


def _request(seen: Seen, body: bytes) -> Request:
    """Return the request as a server handles it: a whole URL names the host; an Upgrade that is not taken is none."""
    target, headers = seen.target, seen.headers
    if (whole := WEB.match(target)) is not None:
        headers = [(b"host", whole[1]), *(pair for pair in headers if pair[0] != b"host")]
        target = target[whole.end() :]
        target = target if target.startswith(b"/") else b"/" + target
    target = (
        target.removesuffix(b"?") if target.count(b"?") == 1 else target
    )  # no query, or an empty one: it is the same
    if _asks_upgrade(seen):
        headers = [pair for pair in headers if pair[0] != b"upgrade"]
    return Request(seen.method, target, headers, body)


def _asks_upgrade(seen: Seen) -> bool:
    options = [option.strip().lower() for value in seen.said(b"connection") for option in value.split(b",")]
    return b"upgrade" in options and any(seen.said(b"upgrade"))


def _is_handshake(seen: Seen) -> bool:
    """Return whether a request opens a WebSocket (RFC 6455, 4.1)."""
    protocols = [name.strip().lower() for value in seen.said(b"upgrade") for name in value.split(b",")]
    bodiless = not seen.said(b"transfer-encoding") and seen.said(b"content-length") in ([], [b"0"])
    return (
        _asks_upgrade(seen)
        and b"websocket" in protocols
        and bodiless
        and (seen.method, seen.version) == (b"GET", b"1.1")
    )


def _good_target(seen: Seen) -> bool:
    if PATH.fullmatch(seen.target) is not None or (seen.method, seen.target) == (b"OPTIONS", b"*"):
        return True
    whole = WEB.match(seen.target)
    return whole is not None and b"#" not in seen.target and HOST.fullmatch(whole[1]) is not None


def _trailers_of(raw: bytes, *, whole: bool = True) -> bytes | None:
    """Return the trailers of a body in chunks; None if a line is not as RFC 9112, 7.1 has it, or frames the body."""
    at, size = 0, -1
    while size != 0:
        line = SIZE_LINE.match(raw, at)
        if line is None:
            return None if whole or b"\n" in raw[at:] else b""
        size = int(line[0].partition(b";")[0], 16)
        at = line.end() + (size + 2 if size else 0)
    trailers = raw[at:] if whole else raw[at:].removesuffix(b"\r")
    lines = trailers.split(b"\r\n")
    good = not FRAMING.search(trailers) and not any(CONTROL.search(line) or line[:1] in BLANK for line in lines if line)
    return trailers if good else None
