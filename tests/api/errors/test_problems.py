"""Every error of the tree as a problem document."""

import inspect
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from cellar import errors
from cellar.api.errors import problems
from cellar.api.errors.problems import answers, problem_of, status_of

pytestmark = pytest.mark.anyio

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CellarError)]

STATUS = {
    errors.MalformedJson: 400,
    errors.ModelUnknown: 404,
    errors.SessionUnknown: 404,
    errors.SessionExpired: 410,
    errors.Regressed: 409,
    errors.AlreadyExists: 409,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.InvalidInput: 422,
    errors.CellSyntaxError: 422,
    errors.FingerprintMismatch: 422,
    errors.StateNotFinite: 422,
    errors.StoreCorrupt: 500,
    errors.CompileFailed: 500,
    errors.StoreUnavailable: 503,
    errors.Overloaded: 503,
}


@pytest.mark.parametrize(("kind", "status"), STATUS.items())
def test_status(kind: type[errors.CellarError], status: int) -> None:
    assert status_of(kind) == status


def test_every_error_has_a_name_of_its_own_and_a_status() -> None:
    assert len({kind.slug for kind in KINDS}) == len(KINDS)
    assert all(400 <= status_of(kind) < 600 for kind in KINDS)
    assert {status for responses in map(answers, KINDS) for status in responses} == {*problems.STATUS.values()}


def test_unavailable_says_when_to_come_again() -> None:
    response = problem_of(errors.StoreUnavailable("gone", outcome="unknown", retry_after_s=3))
    assert response.headers["retry-after"] == "3"
    assert b'"outcome":"unknown"' in response.body


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an application whose routes fail."""
    app = FastAPI()

    @app.get("/error")
    async def error() -> None:
        raise errors.CellSyntaxError("oops", line=2, column=3, excerpt="x\n^", pointer="/equations")

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError("secret")

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    problems.install(app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_an_error_of_the_tree(client: httpx.AsyncClient) -> None:
    answer = await client.get("/error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:cellar:problem:cell_syntax",
        "title": "Cell syntax error",
        "status": 422,
        "detail": "oops",
        "pointer": "/equations",
        "line": 2,
        "column": 3,
        "excerpt": "x\n^",
    }


async def test_a_bug_is_logged_and_not_shown(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await client.get("/bug")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:cellar:problem:internal_error"
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


async def test_what_the_framework_refuses(client: httpx.AsyncClient) -> None:
    missing = await client.get("/nowhere")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:cellar:problem:not_found")
    method = await client.post("/bug")
    assert (method.status_code, method.json()["type"]) == (405, "urn:cellar:problem:method_not_allowed")
    assert method.headers["allow"] == "GET, HEAD"
    parameter = await client.get("/number/x")
    assert (parameter.status_code, parameter.json()["type"]) == (422, "urn:cellar:problem:invalid_parameter")
    assert (parameter.json()["location"], parameter.json()["parameter"]) == ("path", "number")
    for answer in (missing, method, parameter):
        assert answer.headers["content-type"] == "application/problem+json"
