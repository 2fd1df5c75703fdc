"""Requests that two readers may read in two ways, answers that must keep their order, and how connections end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from cellar.api.fast_http import bounded
from cellar.api.websocket.connection.interface import TEXT
from cellar.sessions.requests.request import PendingSteps
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import RESULT, connected, of_the_service, request, step
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
REFUSED = "urn:cellar:problem:malformed_request"


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


@pytest.fixture
def pending(served: Served, monkeypatch: pytest.MonkeyPatch) -> PendingSteps:
    """Make steps wait until the test settles what it gets."""
    waiting = PendingSteps()
    monkeypatch.setattr(served.app.state.services.sessions.steps, "submit", lambda *_, **__: waiting)
    return waiting


def settle(pending: PendingSteps) -> None:
    """Answer the step that waits."""
    pending.finish(RESULT)


def handshake(session: str) -> bytes:
    """Return the request that makes a connection a stream."""
    return (
        b"GET /v1/sessions/%s/stream HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % session.encode()
    )


async def test_a_body_behind_an_unknown_upgrade_is_a_body(served: Served) -> None:
    """It is never run as a request, whole or in pieces."""
    session, victim = await served.begin(), await served.begin()
    hidden = b"DELETE /v1/sessions/%s HTTP/1.1\r\nHost: test\r\n\r\n" % victim.encode()
    async with connected(served) as client:
        whole = request(session, hidden, *H2C)
        client.writer.write(whole)
        assert (await client.answer()).status == 400
        client.writer.write(whole[: -len(hidden)])
        await client.writer.drain()
        client.writer.write(hidden)
        assert (await client.answer()).body["type"] == "urn:cellar:problem:malformed_json"
        client.writer.write(request(session, step(1, 2), *H2C))
        assert (await client.answer()).body["step"] == 1
    assert (await served.http.get(f"/v1/sessions/{victim}")).status_code == 200


@pytest.mark.parametrize("pieces", [1, 1000])
async def test_trailers_are_no_headers(served: Served, pieces: int) -> None:
    """However they are cut: not of their request, and not of the next one."""
    session, body = await served.begin(), step(1, 2)
    head = b"POST /v1/sessions/%s/step HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n" % session.encode()
    data = b"%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nIdempotency-Key: k\r\n\r\n" % (head, len(body), body)
    async with connected(served) as client:
        for expected in (1, 2):
            size = -(-len(data) // pieces)
            for at in range(0, len(data), size):
                client.writer.write(data[at : at + size])
                await client.writer.drain()
            answer = await client.answer()
            assert (answer.body["step"], "idempotent-replayed" in answer.headers) == (expected, False)
        client.writer.write(request(session, body))
        assert (await client.answer()).body["step"] == 3


@pytest.mark.pure
@pytest.mark.parametrize(
    "more", [b"", HEALTH, HEALTH[:20], b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc"]
)
async def test_a_client_that_has_said_everything_gets_its_answers(
    served: Served, pending: PendingSteps, more: bytes
) -> None:
    """What it has said in part is not run."""
    async with connected(served) as client:
        client.writer.write(request("s", step(1, 2)) + more)
        client.writer.write_eof()
        connection = of_the_service(served, client)
        await until(lambda: connection.ends or bool(connection.pipeline))  # what waits is not read on
        settle(pending)
        assert (await client.answer()).body["output"] == [0, 0, 0]
        if more == HEALTH:
            assert (await client.answer()).body["status"] == "alive"
        assert await client.ended()


@pytest.mark.pure
async def test_a_client_that_has_said_everything_is_looked_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a connection whose first request has the head that others have sent, too."""
    monkeypatch.setattr(bounded, "PROBE_S", 0.01)
    session, pending = await served.begin(), PendingSteps()
    async with connected(served) as client:
        for _ in range(3):
            client.writer.write(request(session, step(1, 2)))
            assert (await client.answer()).status == 200
    monkeypatch.setattr(served.app.state.services.sessions.steps, "submit", lambda *_, **__: pending)
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2)))
        client.writer.write_eof()
        async with asyncio.timeout(10):
            assert [(await client.head())[""] for _ in range(2)] == ["100", "100"]
        settle(pending)
        while (status := (await client.head())[""]) == "100":
            pass
        assert status == "200"


@pytest.mark.pure
async def test_a_client_that_leaves_between_two_answers_is_let_go(served: Served, pending: PendingSteps) -> None:
    """Its first request is answered, and the second one, which is not all there, would have been begun next."""
    async with connected(served) as client:
        client.writer.write(request("s", step(1, 2)) + b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc")
        connection = of_the_service(served, client)
        await until(lambda: bool(connection.pipeline))
        settle(pending)
        assert connection.eof_received()
        assert (await client.answer()).status == 200
        assert await client.ended()


async def test_a_client_that_leaves_in_its_request_gets_nothing(served: Served) -> None:
    async with connected(served) as client:
        client.writer.write(request("s", step(1, 2))[:-1])
        client.writer.write_eof()
        assert await client.ended()


@pytest.mark.pure
async def test_a_stream_begins_behind_the_answers_before_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    session, pending = await served.begin(), PendingSteps()
    async with connected(served) as client:
        with monkeypatch.context() as patch:
            patch.setattr(served.app.state.services.sessions.steps, "submit", lambda *_, **__: pending)
            client.writer.write(request(session, step(1, 2)) + HEALTH + handshake(session))
            connection = of_the_service(served, client)
            await until(lambda: connection.ends)
        settle(pending)
        assert (await client.answer()).body["output"] == [0, 0, 0]
        assert (await client.answer()).body["status"] == "alive"
        assert (await client.head())[""] == "101"
        kind, size = await client.reader.readexactly(2)
        assert kind == TEXT
        if size == 126:
            size = int.from_bytes(await client.reader.readexactly(2))
        assert orjson.loads(await client.reader.readexactly(size))["step"] == 0


@pytest.mark.parametrize("before", [b"", HEALTH])
async def test_a_request_behind_a_handshake_is_not_run(served: Served, before: bytes) -> None:
    """Nothing may be sent behind one before it is answered (RFC 6455, 4.1)."""
    session, victim = await served.begin(), await served.begin()
    hidden = b"DELETE /v1/sessions/%s HTTP/1.1\r\nHost: test\r\n\r\n" % victim.encode()
    async with connected(served) as client:
        client.writer.write(before + handshake(session) + hidden)
        if before:
            assert (await client.answer()).status == 200
        assert (await client.answer()).body["type"] == REFUSED
        assert await client.ended()
    assert (await served.http.get(f"/v1/sessions/{victim}")).status_code == 200


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", "no Host header"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "2 Host headers"),
        (b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", "not a host"),
        (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/2.0"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not an HTTP/1.1 request"),
        (b"GET /healthz HTTP/1.1\nHost: a\n\n", "not an HTTP/1.1 request"),
        (b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", "not an HTTP/1.1 request"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "not an HTTP/1.1 request"),
        (b"nonsense\r\n\r\n", "not an HTTP/1.1 request"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "not an HTTP/1.1 request"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT"),
        (b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", "not an HTTP/1.1 request"),
        (b"GET /healthz#x HTTP/1.1\r\nHost: a\r\n\r\n", "fragment"),
        (b"GET ftp://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", "neither a path"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            "Transfer-Encoding",
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "request"),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", "request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", "request"),
    ],
)
async def test_what_may_be_read_in_two_ways_is_refused(served: Served, head: bytes, detail: str) -> None:
    """By a problem document, behind the answer to the request before it; nothing behind it is read."""
    async with connected(served) as client:
        client.writer.write(HEALTH + head + HEALTH)
        assert (await client.answer()).status == 200
        answer = await client.answer()
        assert (answer.status, answer.body["type"], answer.headers["connection"]) == (400, REFUSED, "close")
        assert answer.headers["content-type"] == "application/problem+json"
        assert detail in str(answer.body["detail"])
        assert await client.ended()


@pytest.mark.pure
async def test_a_refusal_waits_for_the_answers_before_it(served: Served, pending: PendingSteps) -> None:
    async with connected(served) as client:
        client.writer.write(request("s", step(1, 2)) + HEALTH + b"nonsense\r\n\r\n")
        connection = of_the_service(served, client)
        await until(lambda: connection.ends)
        settle(pending)
        found = [(await client.answer()).status for _ in range(3)]
    assert found == [200, 200, 400]


@pytest.mark.parametrize("before", [b"", HEALTH])
@pytest.mark.parametrize("path", [b"/v1/sessions", b"/v1/steps"])
async def test_a_body_that_breaks_off_is_not_run(served: Served, before: bytes, path: bytes) -> None:
    head = (
        b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    )
    async with connected(served) as client:
        client.writer.write(before + head + b'5\r\n{"mod\r\nnonsense\r\n')
        if before:
            assert (await client.answer()).status == 200
        answer = await client.answer()
        assert (answer.status, answer.body["type"]) == (400, REFUSED)
        assert await client.ended()


async def test_a_client_that_still_sends_sees_why_it_was_refused(served: Served) -> None:
    """Closed at once, its own bytes on the way would take the answer with them."""
    async with connected(served) as client:
        client.writer.write(b"nonsense\r\n\r\n")
        assert (await client.head())[""] == "400"
        client.writer.write(b"x" * 1_000_000)
        await client.writer.drain()
        assert b"malformed_request" in await client.reader.read()


async def test_a_whole_url_as_target_names_the_host(served: Served) -> None:
    async with connected(served) as client:
        client.writer.write(b"GET http://test/healthz HTTP/1.1\r\nHost: other\r\n\r\n")
        assert (await client.answer()).body["status"] == "alive"
        client.writer.write(b"GET http://test?x HTTP/1.1\r\nHost: test\r\n\r\n")
        head = await client.head()
        assert (head[""], head["content-type"].partition(";")[0]) == ("200", "text/html")


@pytest.mark.parametrize("asked", [b"", b"Connection: keep-alive\r\n"])
async def test_http_1_0_gets_no_chunks(served: Served, asked: bytes) -> None:
    session = await served.begin(events=10)
    line = orjson.dumps({"session": session, "input": [1, 2]}) + b"\n"
    bulk: dict[str, Any] = {"path": b"/v1/steps", "kind": b"application/x-ndjson"}
    async with connected(served) as client:
        client.writer.write(
            b"POST %(path)s HTTP/1.0\r\nContent-Type: %(kind)s\r\n"
            % {key.encode(): value for key, value in bulk.items()}
            + b"%sContent-Length: %d\r\nExpect: 100-continue\r\n\r\n%s" % (asked, len(line), line)
        )
        head = await client.head()
        assert (head[""], head["connection"], "transfer-encoding" in head) == ("200", "close", False)
        assert orjson.loads(await client.reader.read())["step"] == 1
    async with connected(served) as client:
        client.writer.write(b"GET /v1/sessions/%s/events?kept=true HTTP/1.0\r\n%s\r\n" % (session.encode(), asked))
        assert "transfer-encoding" not in await client.head()
        assert (await client.reader.readline()).startswith(b"retry: ")
