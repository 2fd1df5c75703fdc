"""Requests of direct routes get the answers that the framework gives: on real sockets, valid, faulty and in pieces."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cellar.api.fast_http import direct_cycle
from cellar.api.fast_http.direct_cycle import DirectCycle, target_of
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import Connection, connected, of_the_service
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio

FRAMEWORK = b"X-Not-Plain: 1"
"""A header with which a request is served by the framework."""

CHANGING = ("created", "expires", "date", "position", "cellar-position", "x-request-id")

JSON_TYPE, LINES = b"Content-Type: application/json", b"Content-Type: application/x-ndjson"


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server with a model, and a large one, that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        await served.begin()
        large = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 256}]}
        await served.http.post("/v1/models", json={"name": "large", "network": large})
        body = {"session": "many-rows", "model": "large", "batch_size": 32}
        assert (await served.http.post("/v1/sessions", json=body)).status_code == 201
        yield served


def sent(method: str, path: str, body: bytes = b"", *headers: bytes) -> bytes:
    """Return a request as bytes."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: test", *headers]
    length = [b"Content-Length: %d" % len(body)] if body or method == "POST" else []
    return b"\r\n".join([*lines, *length, b"", body])


async def whole(client: Connection) -> tuple[dict[str, str], bytes]:
    """Read an answer of either form: with a length, or in chunks."""
    headers = await client.head()
    if headers.pop("transfer-encoding", "") != "chunked":
        return headers, await client.reader.readexactly(int(headers.pop("content-length", "0")))
    body = b""
    while size := int((await client.reader.readuntil(b"\r\n")).strip(), 16):
        body += (await client.reader.readexactly(size + 2))[:-2]
    await client.reader.readexactly(2)
    return headers, body


def stable(value: Any) -> Any:
    """Return an answer without what differs between two requests."""
    if isinstance(value, dict):
        return {name: stable(member) for name, member in value.items() if name.lower() not in CHANGING}
    return [stable(member) for member in value] if isinstance(value, list) else value


def read(body: bytes) -> Any:
    """Return the documents of a body, or its bytes."""
    try:
        return [json.loads(line) for line in body.splitlines()]
    except ValueError:
        return body


async def both(served: Served, method: str, path: str, body: bytes, *headers: bytes) -> tuple[Any, Any]:
    """Return what the direct route answers, and what the framework does; {} in the path and body is a number."""
    found: list[Any] = []
    async with connected(served) as client:
        for number, more in enumerate(((), (FRAMEWORK,))):
            own = body.replace(b"{}", b"%d" % number)
            client.writer.write(sent(method, path.replace("{}", str(number)), own, *headers, *more))
            answer, content = (await client.head(), b"\n") if method == "HEAD" else await whole(client)
            if "content-encoding" in answer:
                content = gzip.decompress(content)
            text = json.dumps([stable(answer), stable(read(content)) if content[:1] in b"{[" else content.hex()])
            found.append(text.replace(f"same-{number}", "same-N").replace("same-0", "same-N"))
            assert content[-1:] == b"\n" or answer.get("content-type") != "application/json"
    return found[0], found[1]


REQUESTS: list[tuple[str, str, bytes, tuple[bytes, ...]]] = [
    ("POST", "/v1/sessions", b'{"session": "same-{}", "model": "gru", "batch_size": 2, "ttl_s": 60}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"session": "same-{}", "model": "gru", "batch_size": 2, "ttl_s": 60}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"session": "same-{}", "model": "gru"}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"session": "same-{}/\xc3\xa9", "model": "gru@1"}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'\xef\xbb\xbf{"session": "same-{}b", "model": "gru", "batch_size": 1.0}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"model": "nothing"}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"model": "gru", "batch_size": 100000}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"model": "gru", "batch_size": "2"}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"model": "gru", "batchsize": 2}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"model": "gru", "model": "gru"}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"model": "gru", "ttl_s": NaN}', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"model": ', (JSON_TYPE,)),
    ("POST", "/v1/sessions", b"", (JSON_TYPE,)),
    ("POST", "/v1/sessions", b"[]", (JSON_TYPE,)),
    ("POST", "/v1/sessions", b'{"model": "gru"}', ()),
    ("POST", "/v1/sessions", b'{"model": "gru"}', (b"Content-Type: text/plain",)),
    ("POST", "/v1/sessions", b'{"session": "same-{}c", "model": "gru"}', (b"Content-Type: application/x+json",)),
    ("POST", "/v1/sessions?a=1", b'{"model": "gru"}', (JSON_TYPE,)),
    ("POST", "/v1/sessions/", b'{"session": "same-{}d", "model": "gru"}', (JSON_TYPE,)),
    ("GET", "/v1/sessions/same-0", b"", ()),
    ("GET", "/v1/sessions/same-0%2F%C3%A9", b"", ()),
    ("GET", "/v1/sessions/same-0%zz", b"", ()),
    ("GET", "/v1/sessions/nobody", b"", ()),
    ("GET", "/v1/sessions/%00", b"", ()),
    ("GET", "/v1/sessions/same-0/state", b"", ()),
    ("GET", "/v1/sessions/same-0/state", b"", (b"Accept: application/x-npy",)),
    ("GET", "/v1/sessions/same-0/state", b"", (b"Accept: application/octet-stream;q=0.1, */*;q=0",)),
    ("GET", "/v1/sessions/same-0/state?layer=0", b"", ()),
    ("GET", "/v1/sessions/same-0/state?lair=0", b"", ()),
    ("GET", "/v1/sessions/nobody/state", b"", ()),
    ("GET", "/v1/sessions/many-rows/state", b"", ()),
    ("GET", "/v1/sessions/many-rows/state", b"", (b"Accept-Encoding: gzip",)),
    ("GET", "/v1/sessions/same-0/state", b"{}", (JSON_TYPE,)),
    ("HEAD", "/v1/sessions/same-0/stat", b"", ()),
    ("DELETE", "/v1/sessions/nobody", b"", ()),
    ("POST", "/v1/steps", b'{"session": "same-{}", "input": [[1, 2], [1, 2]]}\n{"session": "x"}\n\n{"a', (LINES,)),
    ("POST", "/v1/steps", b"", (LINES,)),
    ("POST", "/v1/steps", b"{}", (JSON_TYPE,)),
    ("POST", "/v1/steps", b"CELL", (b"Content-Type: application/vnd.cellar.frames",)),
    ("POST", "/v1/steps", b"\n", (LINES, b"Accept: text/html")),
]


async def test_the_answers_are_those_of_the_framework(served: Served) -> None:
    """Valid requests and faulty ones: status, headers and documents are equal."""
    different = []
    for method, path, body, headers in REQUESTS:
        direct, framework = await both(served, method, path, body, *headers)
        if direct != framework:
            different.append((method, path, body, direct, framework))
    assert different == []


async def test_such_requests_are_served_directly(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above is one of two ways, not of one with itself."""
    begun: list[str] = []
    run = direct_cycle.start

    def noted(cycle: DirectCycle, *more: Any) -> None:
        """Note the request, and run it."""
        begun.append(cycle.scope["path"])
        run(cycle, *more)

    monkeypatch.setattr(direct_cycle, "start", noted)
    paths = ("/v1/sessions/same-0", "/v1/sessions/same-0/state")
    async with connected(served) as client:
        for path in paths:
            client.writer.write(sent("GET", path))
            await whole(client)
            client.writer.write(sent("GET", path, b"", FRAMEWORK))
            await whole(client)
    assert begun == [*paths]


async def test_requests_in_a_row_and_in_pieces(served: Served) -> None:
    """Pipelined ones are answered in their order; one that comes byte by byte is served; `close` closes."""
    async with connected(served) as client:
        client.writer.write(
            sent("GET", "/v1/sessions/nobody/state")
            + sent("GET", "/healthz")
            + sent("POST", "/v1/sessions", b"{", JSON_TYPE)
            + sent("GET", "/v1/sessions/many-rows")
        )
        found = [(await whole(client))[0][""] for _ in range(4)]
        assert found == ["404", "200", "400", "200"]
        for byte in sent("POST", "/v1/sessions", b'{"model": "gru"}', JSON_TYPE):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
        assert (await whole(client))[0][""] == "201"
        client.writer.write(sent("GET", "/v1/sessions/many-rows", b"", b"Connection: close"))
        assert (await whole(client))[0]["connection"] == "close"
        assert await client.ended()


async def test_a_foreign_host_and_a_foreign_page_are_refused(served: Served) -> None:
    async with connected(served) as client:
        client.writer.write(sent("GET", "/v1/sessions/many-rows").replace(b"Host: test", b"Host: evil.example"))
        assert (await whole(client))[0][""] == "403"
        client.writer.write(sent("POST", "/v1/sessions", b"{}", JSON_TYPE, b"Origin: http://evil.example"))
        assert (await whole(client))[0][""] == "403"


async def test_a_client_that_leaves_harms_no_other(served: Served) -> None:
    """Its request is run, and the answer is dropped."""
    async with connected(served) as client:
        client.writer.write(sent("POST", "/v1/sessions", b'{"session": "left", "model": "gru"}', JSON_TYPE))
        await client.writer.drain()
        client.writer.transport.abort()
    async with asyncio.timeout(10):
        while (await served.http.get("/v1/sessions/left")).status_code != 200:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)


async def test_a_fault_of_an_endpoint_is_an_internal_error(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    services = served.app.state.services
    monkeypatch.setattr(services.states, "read", broken)
    async with connected(served) as client:
        client.writer.write(sent("GET", "/v1/sessions/many-rows/state") + sent("GET", "/healthz"))
        assert [(await whole(client))[0][""] for _ in range(2)] == ["500", "200"]
        await until(lambda: not of_the_service(served, client).tasks)


def test_only_a_name_may_stand_in_a_target() -> None:
    target = target_of("/v1/sessions/{session}")
    assert target.fullmatch(b"/v1/sessions/a%2Fb")
    assert not target.fullmatch(b"/v1/sessions/a/b")
    assert not target.fullmatch(b"/v1/sessions/")
    assert not target.fullmatch(b"/v1/sessions/a\n")
