"""Streams of requests: a corpus of good and of bad ones, and mutations of it by a seed."""

import random
from collections.abc import Callable

STEP = b'{"input": [1, 2]}'
PLAIN = b"POST /v1/sessions/%s/step HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HIDDEN = b"DELETE /v1/sessions/victim HTTP/1.1\r\nHost: localhost\r\n\r\n"
SENT = b"Content-Length: %d\r\n\r\n%s"
CHUNKS = b"POST /v1/steps HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def _step(session: bytes, more: bytes = b"") -> bytes:
    return PLAIN % session + more + SENT % (len(STEP), STEP)


CORPUS = (
    _step(b"a"),
    _step(b"another.one"),
    _step(b"site%2F1%2Ftemp"),
    _step(b"aa:bb%3acc@x{}%7D"),
    _step(b"%E6%B8%A9%F0%9F%98%80"),
    _step(b"%FF%00%2e"),
    _step(b"a", b"Idempotency-Key: k-1\r\n"),
    _step(b"a", b"Connection: close\r\n"),
    _step(b"a", b"Connection: keep-alive\r\nCellar-Timeout-Ms: 500\r\n"),
    _step(b"a", b"Expect: 100-continue\r\n"),
    _step(b"a", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
    PLAIN % b"a" + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + SENT % (len(HIDDEN), HIDDEN),
    PLAIN % b"a" + b"Upgrade: h2c\r\n" + SENT % (len(HIDDEN), HIDDEN),
    PLAIN % b"a" + SENT % (len(HIDDEN), HIDDEN),
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/jobs?limit=3&x=%2F HTTP/1.1\r\nHost: [::1]:8080\r\nAccept: */*\r\nX-Empty:\r\n\r\n",
    b"HEAD /readyz HTTP/1.1\r\nhost:localhost\r\nX:  spaces \t\r\n\r\n",
    b"GET http://cellar.example:80/v1/models?a=b HTTP/1.1\r\nHost: other\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"POST /v1/steps HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    b"DELETE /v1/sessions/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    b"PUT /v1/sessions/a/state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n01\r\n2",
    CHUNKS + b"5\r\nhello\r\n0\r\n\r\n",
    CHUNKS + b"A;x=y\r\n0123456789\r\n1\r\n\n\r\n00\r\nIdempotency-Key: k\r\nHost: trailer\r\n\r\n",
    CHUNKS + b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    CHUNKS.replace(b"chunked", b"chunked\r\nConnection: Upgrade\r\nUpgrade: h2c") + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    CHUNKS.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n",
    CHUNKS.replace(b"chunked", b"chunked\r\nContent-Length: 3") + b"3\r\nabc\r\n0\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\n\r\n",
    b"GET /v1/models HTTP/2.0\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/models HTTP/1.1\nHost: a\n\n",
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX: one\r\n two\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    b"\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    HANDSHAKE,
)

LINES = (
    *(b"Host: b\r\n", b"Host:\r\n", b"Host: a b\r\n", b"Host: localhost:99999999\r\n", b"Content-Length: 0\r\n"),
    *(b"Content-Length: 4\r\n", b"Content-Length: +4\r\n", b"Content-Length: 0x4\r\n", b"Content-Length: 4 4\r\n"),
    *(b"Content-Length : 4\r\n", b"Content-Length:\r\n", b"Content-Length: 18446744073709551617\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: CHUNKED\r\n", b"Transfer-Encoding: identity\r\n"),
    *(b"Transfer-Encoding: chunked, chunked\r\n", b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding:\r\n"),
    *(b"Transfer-Encoding: \x0bchunked\r\n", b"Transfer-Encoding : chunked\r\n", b"Transfer_Encoding: chunked\r\n"),
    *(b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n"),
    *(b"Expect: 100-continue\r\n", b"Origin: https://other\r\n", b"X: \xff\r\n", b"X\r\n", b": x\r\n", b"X: a\rb\r\n"),
)

BYTES = b"\r\n\t \0\x0b\x7f\x80\xff:;,/#?%*0123456789aAfFgxX+-_\"'()[]{}<>=@\\^`|~"

Mutation = Callable[[bytes, random.Random], bytes]


def _at(data: bytes, chance: random.Random) -> int:
    return chance.randint(0, len(data))


def replace_byte(data: bytes, chance: random.Random) -> bytes:
    """Put another byte in the place of one."""
    at = _at(data, chance)
    return data[:at] + bytes([chance.choice(BYTES)]) + data[at + 1 :]


def insert_byte(data: bytes, chance: random.Random) -> bytes:
    """Put a byte between two."""
    at = _at(data, chance)
    return data[:at] + bytes([chance.choice(BYTES)]) + data[at:]


def drop_bytes(data: bytes, chance: random.Random) -> bytes:
    """Leave out a few bytes."""
    at = _at(data, chance)
    return data[:at] + data[at + chance.randint(1, 4) :]


def double_bytes(data: bytes, chance: random.Random) -> bytes:
    """Say a part twice."""
    at, size = _at(data, chance), chance.randint(1, 40)
    return data[: at + size] + data[at:]


def end_early(data: bytes, chance: random.Random) -> bytes:
    """Leave out the end."""
    return data[: _at(data, chance)]


def change_lines(data: bytes, chance: random.Random) -> bytes:
    """Leave out a line, say it twice, or put it elsewhere."""
    lines = data.split(b"\r\n")
    at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
    line = lines.pop(at) if chance.random() < 0.7 else lines[at]
    if chance.random() < 0.6:
        lines.insert(to, line)
    return b"\r\n".join(lines)


def insert_line(data: bytes, chance: random.Random) -> bytes:
    """Put a header behind a line."""
    ends = [at for at in range(len(data)) if data.startswith(b"\r\n", at)]
    at = chance.choice(ends) + 2 if ends else 0
    return data[:at] + chance.choice(LINES) + data[at:]


def end_lines_otherwise(data: bytes, chance: random.Random) -> bytes:
    """End one line in another way."""
    ends = [at for at in range(len(data)) if data.startswith(b"\r\n", at)]
    if not ends:
        return data
    at = chance.choice(ends)
    return data[:at] + chance.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\r\n", b"")) + data[at + 2 :]


def change_case(data: bytes, chance: random.Random) -> bytes:
    """Write some letters large or small."""
    at, size = _at(data, chance), chance.randint(1, 30)
    return data[:at] + data[at : at + size].swapcase() + data[at + size :]


def change_number(data: bytes, chance: random.Random) -> bytes:
    """Put another digit in the place of one."""
    digits = [at for at, byte in enumerate(data) if 0x30 <= byte <= 0x39]
    if not digits:
        return data
    at = chance.choice(digits)
    return data[:at] + str(chance.choice((0, 1, 2, 5, 9, 10, 17, 20))).encode() + data[at + 1 :]


MUTATIONS: tuple[Mutation, ...] = (
    replace_byte,
    insert_byte,
    drop_bytes,
    double_bytes,
    end_early,
    change_lines,
    insert_line,
    end_lines_otherwise,
    change_case,
    change_number,
)


def mutated(chance: random.Random) -> bytes:
    """Return a stream of a few requests with a few faults; one in ten has none."""
    stream = b"".join(chance.choices(CORPUS, k=chance.randint(1, 4)))
    for _ in range(chance.choice((0, 1, 1, 1, 1, 1, 2, 2, 3, 4))):
        stream = chance.choice(MUTATIONS)(stream, chance)
    return stream


def cut(stream: bytes, chance: random.Random) -> list[bytes]:
    """Return a stream in pieces, cut at a few random places."""
    places = sorted(chance.randint(0, len(stream)) for _ in range(chance.randint(1, 5)))
    ends = [*places, len(stream)]
    return [stream[start:end] for start, end in zip([0, *places], ends, strict=True) if start < end]
