"""The application starts when the body of a request is there, so that slow bodies take few bytes and objects."""

from collections.abc import AsyncIterator

import pytest

from cellar.api.fast_http.late_start import FIRST_BYTES
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import Connection, connected, of_the_service
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio

HEAD = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"name": "late", "nonsense": 1}'


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


async def sent(served: Served, client: Connection, data: bytes, body_bytes: int) -> None:
    """Send the beginning of a request, and wait until the service has these bytes of its body."""
    client.writer.write(data)
    await until(lambda: of_the_service(served, client).body_bytes == body_bytes)


@pytest.mark.parametrize("framing", [b"Content-Length: 31\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1f\r\n"])
async def test_the_application_starts_when_the_body_is_complete(served: Served, framing: bytes) -> None:
    async with connected(served) as client:
        await sent(served, client, HEAD + framing + BODY[:5], 5)
        assert not served.server.server_state.tasks
        assert served.app.state.load.memory.held_bytes == 5
        client.writer.write(BODY[5:] + (b"\r\n0\r\n\r\n" if b"chunked" in framing else b""))
        answer = await client.answer()
        assert (answer.status, answer.body["type"]) == (422, "urn:cellar:problem:invalid_input")
        assert served.app.state.load.memory.held_bytes == 0


async def test_it_starts_with_the_first_kilobytes_of_a_long_body(served: Served) -> None:
    async with connected(served) as client:
        await sent(served, client, HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 5, 5)
        await sent(served, client, b" " * FIRST_BYTES, 5 + FIRST_BYTES)
        await until(lambda: len(served.server.server_state.tasks) == 1)


async def test_a_body_that_is_too_large_is_refused_before_it_comes(served: Served) -> None:
    async with connected(served) as client:
        client.writer.write(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        assert (await client.answer()).status == 413


async def test_a_request_that_waits_for_100_continue_starts_at_once(served: Served) -> None:
    async with connected(served) as client:
        client.writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 31\r\n\r\n")
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 100")
        assert await client.reader.readline() == b"\r\n"
        client.writer.write(BODY)
        assert (await client.answer()).status == 422


async def test_a_client_that_leaves_before_has_nothing_started(served: Served) -> None:
    before = served.server.server_state.total_requests
    async with connected(served) as client:
        await sent(served, client, HEAD + b"Content-Length: 31\r\n\r\n" + BODY[:5], 5)
    await until(lambda: len(served.server.server_state.connections) <= 1)  # of the test's own client
    assert not served.server.server_state.tasks
    assert served.server.server_state.total_requests == before
    assert served.app.state.load.memory.held_bytes == 0


async def test_a_pipelined_request_starts_late_too(served: Served) -> None:
    first = HEAD + b"Content-Length: 31\r\n\r\n" + BODY
    async with connected(served) as client:
        client.writer.write(first + HEAD + b"Content-Length: 31\r\n\r\n" + BODY[:5])
        assert (await client.answer()).status == 422
        await until(lambda: not served.server.server_state.tasks)
        client.writer.write(BODY[5:])
        assert (await client.answer()).status == 422
