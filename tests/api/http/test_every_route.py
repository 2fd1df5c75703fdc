"""Every route of the API document, and the pages: unknown parameters, a slash at the end, newlines; protocol errors."""

import re
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from cellar.settings import Settings
from tests.api.conftest import DOCUMENT, with_own_keys
from tests.api.connections import connected
from tests.api.specs.test_openapi import OPERATIONS
from tests.api.websocket.conftest import Served, serving

pytestmark = pytest.mark.anyio

HTML = [("/docs/", "get"), ("/", "get")]

OTHERS = [("/openapi.json", "get"), ("/nothing", "get"), ("/nothing", "post"), *HTML]

ENDLESS = {("/v1/sessions/{session}/events", "get"), ("/v1/jobs/{job}/events", "get")}

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


async def ask(served: Served, path: str, method: str) -> httpx.Response:
    """Send a request for things that are not there, with an empty body of the first kind that the route takes."""
    body = DOCUMENT["paths"].get(path.partition("?")[0].rstrip("/"), {}).get(method, {}).get("requestBody")
    headers = {"content-type": next(iter(body["content"]))} if body else {}
    path = re.sub(r"\{\w+\}", "none-1", path)
    return await served.http.request(method, path, content=b"{}" if body else None, headers=headers)


def check(answer: httpx.Response, where: str) -> None:
    """Assert that an answer is a resource or a problem document, and that JSON ends with one newline."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert answer.status_code < 300 or answer.status_code >= 400, where
    if answer.status_code >= 400:
        assert kind == PROBLEM, where
        assert answer.json()["status"] == answer.status_code, where
    if kind.endswith("json"):
        assert answer.content.endswith((b"}\n", b"]\n")), where
        assert not answer.content.endswith(b"\n\n"), where


@pytest.mark.parametrize(("path", "method"), OPERATIONS + OTHERS)
async def test_a_parameter_that_is_not_there_is_refused(served: Served, path: str, method: str) -> None:
    answer = await ask(served, f"{path}?no_such_parameter=1", method)
    check(answer, path)
    if (path, method) in HTML:
        assert answer.status_code == 200
    elif path != "/nothing":
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (422, "urn:cellar:problem:invalid_parameter")
        assert (problem["location"], problem["parameter"]) == ("query", "no_such_parameter")


@pytest.mark.parametrize(("path", "method"), [each for each in OPERATIONS if each not in ENDLESS])
async def test_a_slash_at_the_end_changes_nothing(served: Served, path: str, method: str) -> None:
    plain, slashed = await ask(served, path, method), await ask(served, f"{path}/", method)
    for answer in (plain, slashed):
        check(answer, path)
    assert (slashed.status_code, slashed.headers.get("content-type")) == (
        plain.status_code,
        plain.headers.get("content-type"),
    )
    if plain.status_code >= 400:
        assert slashed.json()["type"] == plain.json()["type"]


SOCKET = b"GET /v1/stream HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"

HEAD = b"POST /v1/sessions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"

PROTOCOL_ERRORS = [
    (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    (b"GET /healthz HTTP/3.0\r\nHost: test\r\n\r\n", 400),
    (b"nonsense\r\n\r\n", 400),
    (b"CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    (b"GET healthz HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    (b"GET /%FF HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", 403),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
    (HEAD + b"Content-Length: x\r\n\r\n", 400),
    (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (HEAD + b"Content-Length: 99999999999\r\n\r\n", 413),
    (b"GET /healthz HTTP/1.1\r\nHost: test\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: test\r\n\r\n", 431),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (SOCKET + b"\r\n", 400),
    (SOCKET + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n", 400),
    (SOCKET + b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", 400),
    (SOCKET.replace(b"stream", b"stream?" + b"x" * 10_000) + b"\r\n", 431),
    (SOCKET + b"X: " + b"x" * 10_000 + b"\r\n\r\n", 431),
    (SOCKET.replace(b"/v1/stream", b"/v1/none") + b"\r\n", 400),
    (b"GET /v1/stream HTTP/1.1\r\nHost: test\r\n\r\n", 404),
    (b"BREW /healthz HTTP/1.1\r\nHost: test\r\n\r\n", 400),
]


@pytest.mark.parametrize(("sent", "status"), PROTOCOL_ERRORS, ids=lambda it: str(it)[:60])
async def test_an_error_of_the_protocol_is_a_problem_document(served: Served, sent: bytes, status: int) -> None:
    async with connected(served) as client:
        client.writer.write(sent)
        answer = await client.reader.read(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode(), answer
    assert b"content-type: application/problem+json" in head.lower()
    assert orjson.loads(body)["status"] == status
    assert body.endswith(b"}\n")
