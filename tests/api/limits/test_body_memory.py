"""Bodies that never end hold a bounded part of the process, whoever reads them, and keep nobody from a step."""

import gzip
import secrets
from collections.abc import AsyncIterator

import pytest

from cellar.api.limits.body_memory import SMALL_BYTES, BodyMemory
from cellar.api.specs.asyncapi import close_codes
from cellar.errors import Overloaded
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, request, step
from tests.api.websocket.conftest import Served, serving, until
from tests.api.websocket.connection.test_protocol import Sent
from tests.api.websocket.test_floods import raw_stream

pytestmark = pytest.mark.anyio

MOST = 300_000
PART = 150_000

JSON, LINES, FRAMES, NPY = (
    b"application/json",
    b"application/x-ndjson",
    b"application/x-cellar-frames",
    b"application/x-npy",
)


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server with a limit that tests can reach."""
    async with serving(with_own_keys(settings, max_unfinished_bytes=MOST)) as served:
        yield served


def unfinished(path: str, kind: bytes, body: bytes, *headers: bytes) -> bytes:
    """Return a request whose body is not all there."""
    lines = [
        b"POST %s HTTP/1.1" % path.encode(),
        b"Host: localhost",
        b"Content-Type: " + kind,
        b"Content-Length: 240000",
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


@pytest.mark.parametrize("way", ["framework", "route", "protocol", "decoded", "line", "sequence"])
async def test_what_is_not_all_there_is_bounded(served: Served, way: str) -> None:
    session = await served.begin()
    noise = secrets.token_hex(PART // 2).encode()
    packed = gzip.compress(b" " * PART, 1)
    data = {
        "framework": unfinished("/v1/models", JSON, b" " * PART),
        "route": unfinished(f"/v1/sessions/{session}/sequence", JSON, b" " * PART),
        "protocol": unfinished(f"/v1/sessions/{session}/step", NPY, noise),
        "decoded": unfinished("/v1/models", JSON, packed[:-8], b"Content-Encoding: gzip"),
        "line": unfinished("/v1/steps", LINES, b'{"' + noise),
        "sequence": unfinished(f"/v1/sessions/{session}/sequence/stream", LINES, b'{"' + noise),
    }[way]
    memory = served.app.state.load.bodies
    async with connected(served) as first, connected(served) as second, connected(served) as third:
        first.writer.write(data)
        await until(lambda: memory.held_bytes >= PART - 1000)
        second.writer.write(data)
        head = await second.reader.readuntil(b"\r\n\r\n")
        body = await second.reader.readuntil(b"overloaded")
        assert b" 503 " in head.splitlines()[0] or b"HTTP/1.1 200" in head.splitlines()[0], (head, body)
        assert memory.held_bytes <= MOST
        third.writer.write(request(session, step(1, 2)))
        assert (await third.answer()).status == 200
    await until(lambda: memory.held_bytes == 0)


async def test_messages_that_are_not_all_there_are_bounded(served: Served) -> None:
    memory = served.app.state.load.bodies
    message = bytes(Sent(1, b"x" * 200_000))
    for data in (message[:PART], bytes(Sent(1, b"x" * PART, fin=False))):
        async with raw_stream(served) as (first, _), raw_stream(served) as (second, _):
            first.writer.write(data)
            await until(lambda: memory.held_bytes >= PART - 1000)
            second.writer.write(data)
            answer = await second.reader.read(1 << 16)
            assert answer[0] == 0x88
            assert close_codes()[str(int.from_bytes(answer[2:4]))] == ["overloaded"]
            assert answer[4:].startswith(b"overloaded: ")
        await until(lambda: memory.held_bytes == 0)


def test_a_quarter_is_for_small_bodies() -> None:
    memory = BodyMemory(8 * SMALL_BYTES)
    large, small = memory.share(), memory.share()
    large.resize(6 * SMALL_BYTES)
    with pytest.raises(Overloaded):
        large.resize(6 * SMALL_BYTES + 1)
    small.resize(SMALL_BYTES)
    assert memory.held_bytes == 7 * SMALL_BYTES
    large.release()
    small.release()
    assert memory.held_bytes == 0
