"""The OpenAPI document: valid, the same as the one in the repository, and complete about errors."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from cellar.api import app, openapi
from cellar.api.body import JSON
from cellar.api.schemas import events
from cellar.wire import frames, lines, npy, tensors
from tests.api.conftest import DOCUMENT

pytestmark = pytest.mark.anyio

COMMITTED = Path(__file__).parents[2] / "openapi" / "openapi.json"
CONTENTS = {JSON, events.MEDIA_TYPE, npy.MEDIA_TYPE, tensors.MEDIA_TYPE, lines.MEDIA_TYPE, frames.MEDIA_TYPE}
OPERATIONS = [(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations]


def responses(path: str, method: str) -> dict[str, Any]:
    """Return the declared responses of an operation."""
    found: dict[str, Any] = DOCUMENT["paths"][path][method]["responses"]
    return found


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_the_committed_document_is_the_generated_one() -> None:
    assert COMMITTED.read_text() == openapi.text(), "write it again: cellar openapi > openapi/openapi.json"


def test_nothing_in_it_breaks_validators_of_3_1() -> None:
    assert '"itemSchema"' not in json.dumps(DOCUMENT)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_error_answer_is_a_problem(path: str, method: str) -> None:
    for status, response in responses(path, method).items():
        if int(status) >= 400:
            assert response["content"].keys() == {"application/problem+json"}
            assert re.fullmatch(r"(- `\w+`: .+\n?)+", response["description"])
        else:
            assert set(response.get("content", {})) <= CONTENTS


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_errors_are_declared(path: str, method: str) -> None:
    declared = responses(path, method).keys()
    expected = {"500"}
    if path not in ("/healthz", "/v1/cells", "/v1/steps"):
        expected |= {"503"}
    if "{" in path:
        expected |= {"404", "422"}
    if "requestBody" in DOCUMENT["paths"][path][method]:
        expected |= {"400", "413", "415"} | ({"422"} if path != "/v1/steps" else set())
    assert declared >= expected


def test_every_operation_has_a_name_and_a_description() -> None:
    names = [DOCUMENT["paths"][path][method]["operationId"] for path, method in OPERATIONS]
    assert len({*names}) == len(names)
    for path, method in OPERATIONS:
        assert DOCUMENT["paths"][path][method]["description"].endswith(".")


async def test_the_service_serves_it(client: httpx.AsyncClient) -> None:
    assert (await client.get("/openapi.json")).json() == DOCUMENT


async def test_the_page_needs_nobody_else(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs", follow_redirects=True)
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text
    assets = re.findall(r'(?:src|href|url)(?:=|: )"([^"]+)"', page.text)
    assert "swagger-ui-bundle.js" in assets
    for asset in assets:
        assert (await client.get(str(page.url.join(asset)))).status_code == 200, asset
    missing = await client.get("/docs/nothing.js")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:cellar:problem:not_found")


def test_the_vendored_files_name_no_download() -> None:
    for path in app.DOCS.iterdir():
        if path.suffix in {".js", ".css", ".html"}:
            assert not re.search(r"https?://\S+\.(whl|tgz|tar\.gz)\b", path.read_text()), path
