"""Bodies: the limit, the content type, and where they are read."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.types import Message

from cellar.api.errors import problems
from cellar.api.http.body import BodyLimit
from cellar.api.routes.json_route import JsonRoute, read_json
from cellar.memory.request_memory import RequestMemory
from cellar.nn.spec.base import Frozen
from tests.api.http.clients import client_of, in_pieces

pytestmark = pytest.mark.anyio

LIMIT = 100


class Document(Frozen):
    """A body."""

    text: str


def make_app() -> FastAPI:
    """Return an application that answers how much it has read."""
    app = FastAPI()
    router = APIRouter(route_class=JsonRoute)

    @router.post("/model")
    async def model(body: Document) -> int:
        return len(body.text)

    @router.post("/optional")
    async def optional(body: Document | None = None) -> int:
        return len(body.text) if body else -1

    @router.post("/bare")
    async def bare(request: Request) -> int:
        return len(await read_json(request))

    app.include_router(router)
    problems.install(app)
    app.add_middleware(BodyLimit, max_body_bytes=LIMIT, memory=RequestMemory(1 << 30))
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of that application."""
    async with client_of(make_app()) as client:
        yield client


def body_of(size: int) -> bytes:
    """Return a valid body of that many bytes."""
    return b'{"text":"%s"}' % (b"x" * (size - 11))


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", ["/model", "/optional", "/bare"])
async def test_a_body_at_the_limit_is_read(client: httpx.AsyncClient, path: str) -> None:
    for content in (body_of(LIMIT), in_pieces(body_of(LIMIT))):
        answer = await client.post(path, content=content, headers=JSON)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["/model", "/optional", "/bare"])
async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient, path: str) -> None:
    for content in (body_of(LIMIT + 1), in_pieces(body_of(LIMIT + 1))):
        answer = await client.post(path, content=content, headers=JSON)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:cellar:problem:body_too_large"


async def test_an_endless_body_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10
            yield b" " * 10

    answer = await client.post("/model", content=endless(), headers=JSON)
    assert answer.status_code == 413
    assert sent <= LIMIT + 20


async def test_a_client_that_goes_away_in_the_middle_is_no_fault() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b'{"te', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(f"no client is there for {message}")

    scope = {"type": "http", "method": "POST", "path": "/model", "query_string": b"", "headers": []}
    await make_app()(scope, receive, send)
    assert messages == []


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/merge+json"])
async def test_json_types_are_read(client: httpx.AsyncClient, kind: str) -> None:
    answer = await client.post("/model", content=b'{"text":"abc"}', headers={"content-type": kind})
    assert answer.json() == 3


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "", "json"])
@pytest.mark.parametrize("path", ["/model", "/optional", "/bare"])
async def test_other_types_are_refused(client: httpx.AsyncClient, path: str, kind: str) -> None:
    answer = await client.post(path, content=b'{"text":"abc"}', headers={"content-type": kind})
    assert answer.status_code == 415
    assert answer.json()["type"] == "urn:cellar:problem:unsupported_media_type"


async def test_an_optional_body_may_be_absent(client: httpx.AsyncClient) -> None:
    assert (await client.post("/optional")).json() == -1
    assert (await client.post("/model", headers=JSON)).status_code == 400
    assert (await client.post("/bare", headers=JSON)).status_code == 400


async def test_malformed_json_says_where(client: httpx.AsyncClient) -> None:
    answer = await client.post("/model", content=b'{\n "text": oops}', headers=JSON)
    assert answer.status_code == 400
    assert answer.json() | {"line": 2, "column": 10, "offset": 11} == answer.json()
