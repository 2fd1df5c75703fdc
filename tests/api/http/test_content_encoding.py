"""Encoded bodies and answers: the same as plain ones, within the same limits."""

import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cellar.api.errors import problems
from cellar.api.http.body import BodyLimit
from cellar.api.http.content_encoding import LEAST_BYTES, GzipAnswers, GzipBodies
from cellar.memory.request_memory import RequestMemory
from tests.api.http.clients import client_of, in_pieces

pytestmark = pytest.mark.anyio

LIMIT = 100_000
GZIP = {"content-encoding": "gzip"}


def make_app() -> FastAPI:
    """Return an application that says how much it has read, on one path after each part, and answers at length."""
    app = FastAPI()

    @app.post("/count")
    async def count(request: Request) -> int:
        return len(await request.body())

    @app.post("/v1/steps")
    async def stream(request: Request) -> list[int]:
        return [len(part) async for part in request.stream()]

    @app.get("/long/{size}")
    async def long(size: int, kind: str = "application/json") -> Response:
        return Response(b"x" * size, media_type=kind)

    @app.get("/parts")
    async def parts() -> Response:
        return StreamingResponse(iter([b"x" * LEAST_BYTES] * 2), media_type="application/json")

    @app.get("/empty")
    async def empty() -> Response:
        return JSONResponse(None)

    problems.install(app)
    app.add_middleware(GzipAnswers)
    app.add_middleware(GzipBodies, max_body_bytes=LIMIT, memory=RequestMemory(1 << 30))
    app.add_middleware(BodyLimit, max_body_bytes=LIMIT, memory=RequestMemory(1 << 30))
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of that application."""
    async with client_of(make_app()) as client:
        yield client


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip"])
async def test_a_body_is_decoded(client: httpx.AsyncClient, coding: str) -> None:
    data = gzip.compress(bytes(LIMIT))
    for content in (data, in_pieces(data)):
        answer = await client.post("/count", content=content, headers={"content-encoding": coding})
        assert answer.json() == LIMIT


async def test_a_body_without_a_coding_is_read_as_it_is(client: httpx.AsyncClient) -> None:
    answer = await client.post("/count", content=b"abc", headers={"content-encoding": "identity"})
    assert answer.json() == 3


async def test_the_limit_holds_for_decoded_bytes(client: httpx.AsyncClient) -> None:
    for size in (LIMIT + 1, 64 * 1024 * 1024):
        answer = await client.post("/count", content=gzip.compress(bytes(size)), headers=GZIP)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:cellar:problem:body_too_large")


async def test_the_limit_holds_for_what_decodes_to_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post("/count", content=gzip.compress(b"") * (LIMIT // 20 + 1), headers=GZIP)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", gzip.compress(b"{}")[:-1], gzip.compress(b"{}") + b"x"],
    ids=["nothing", "plain", "cut", "more"],  # the time is in the bytes
)
async def test_what_is_not_gzip_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/count", content=content, headers=GZIP)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:cellar:problem:malformed_body")


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "gzip, br", "zstd"])
async def test_other_codings_are_refused(client: httpx.AsyncClient, coding: str) -> None:
    answer = await client.post("/count", content=b"{}", headers={"content-encoding": coding})
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:cellar:problem:unsupported_media_type")
    assert answer.headers["accept-encoding"] == "gzip"


async def test_a_stream_is_decoded_in_pieces_of_a_bounded_size(client: httpx.AsyncClient) -> None:
    size = 20 * LIMIT
    for content, headers in ((gzip.compress(bytes(size)), GZIP), (in_pieces(bytes(size), 1 << 16), {})):
        parts = (await client.post("/v1/steps", content=content, headers=headers)).json()
        assert sum(parts) == size
        assert max(parts) <= 256 * 1024


async def raw(client: httpx.AsyncClient, path: str, accept: str = "gzip") -> tuple[str | None, bytes, httpx.Headers]:
    """Return the coding of an answer and its bytes as they came."""
    async with client.stream("GET", path, headers={"accept-encoding": accept}) as answer:
        data = b"".join([part async for part in answer.aiter_raw()])
        return answer.headers.get("content-encoding"), data, answer.headers


async def test_long_answers_are_encoded(client: httpx.AsyncClient) -> None:
    coding, data, headers = await raw(client, f"/long/{10 * LEAST_BYTES}")
    assert coding == "gzip"
    assert gzip.decompress(data) == b"x" * 10 * LEAST_BYTES
    assert headers["content-length"] == str(len(data))
    assert headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (f"/long/{LEAST_BYTES}", "identity"),
        (f"/long/{LEAST_BYTES}", "gzip;q=0"),
        (f"/long/{LEAST_BYTES - 1}", "gzip"),
        (f"/long/{LEAST_BYTES}?kind=application/x-npy", "gzip"),
        ("/parts", "gzip"),
        ("/empty", "gzip"),
    ],
)
async def test_other_answers_go_as_they_are(client: httpx.AsyncClient, path: str, accept: str) -> None:
    coding, data, _ = await raw(client, path, accept)
    assert coding is None
    assert data in (b"null", b"x" * len(data))
