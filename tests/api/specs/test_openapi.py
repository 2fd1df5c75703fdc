"""The OpenAPI document: valid, the same as the one in the repository, and complete about errors."""

import json
import math
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate

from cellar.api import app
from cellar.api.http.body import JSON
from cellar.api.schemas.numbers import LARGEST, nested
from cellar.api.schemas.session import events
from cellar.api.specs import openapi
from cellar.errors import CellarError
from cellar.interchange.export import ONNX_MEDIA_TYPE
from cellar.main import create_app
from cellar.settings import Settings
from cellar.wire.arrays import npy, tensors
from cellar.wire.frames import frames
from cellar.wire.json import lines
from cellar.wire.numbers.numbers import parse_array
from tests.api import examples as recorded
from tests.api import request_examples
from tests.api.conftest import DOCUMENT, running, with_own_keys

pytestmark = pytest.mark.anyio

COMMITTED = Path(__file__).parents[3] / "openapi" / "openapi.json"
CONTENTS = {
    "text/csv",
    *(JSON, events.MEDIA_TYPE, npy.MEDIA_TYPE, tensors.MEDIA_TYPE, lines.MEDIA_TYPE, frames.MEDIA_TYPE),
    ONNX_MEDIA_TYPE,
    *("text/plain", "application/openmetrics-text"),
}
TOUR = recorded.load()["00-tour"]["exchanges"]

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
        expected |= {"422"} if (path, method) == ("/v1/models/{model}", "put") else {"404", "422"}
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


async def test_the_page_needs_no_other_server(client: httpx.AsyncClient) -> None:
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


def test_every_array_says_what_is_in_it() -> None:
    def look(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                look(item)
        elif isinstance(value, dict):
            assert "prefixItems" not in value
            assert value.get("type") != "array" or value["items"], value
            for member in value.values():
                look(member)

    look({name: part for name, part in DOCUMENT.items() if name != "paths"})


def test_every_body_has_a_type() -> None:
    for path, method in OPERATIONS:
        operation = DOCUMENT["paths"][path][method]
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in part.get("content", {}).values():
                assert {"type", "$ref", "anyOf"} & content["schema"].keys(), (method, path, content)


ARRAYS: list[tuple[Any, bool]] = [
    ([0.5, 1], True),
    ([LARGEST, -LARGEST], True),
    ([math.nextafter(LARGEST, math.inf)], False),
    ([-math.nextafter(LARGEST, math.inf)], False),
    ([], False),
    ([True], False),
    (["1"], False),
    ([None], False),
    ([[1]], False),
    (1, False),
    ({}, False),
]


@pytest.mark.parametrize(("value", "good"), ARRAYS)
def test_the_schema_of_numbers_says_what_is_read(value: Any, good: bool) -> None:
    for depth, sent in ((1, value), (2, [value]), (3, [[value]])):
        assert jsonschema.Draft202012Validator(nested(depth)).is_valid(sent) == good
        try:
            parse_array(sent, ndim=depth)
        except CellarError:
            assert not good
        else:
            assert good


def test_parameters_are_never_null() -> None:
    for path, method in OPERATIONS:
        for parameter in DOCUMENT["paths"][path][method].get("parameters", ()):
            assert "null" not in json.dumps(parameter["schema"])


def test_the_request_examples_are_those_that_tests_replay() -> None:
    assert request_examples.SHOWN.read_text() == request_examples.text(), "write them again: make openapi"


def test_every_example_is_valid() -> None:
    for path, method in OPERATIONS:
        for media_type, content in DOCUMENT["paths"][path][method].get("requestBody", {}).get("content", {}).items():
            assert media_type not in (JSON, lines.MEDIA_TYPE) or content["examples"], f"{method} {path}"
            for example in content.get("examples", {}).values():
                schema = {**content["schema"], "components": DOCUMENT["components"]}
                jsonschema.Draft202012Validator(schema).validate(example["value"])


async def test_the_first_examples_are_accepted_one_after_the_other(settings: Settings) -> None:
    """As who clicks through the page of the API from above does it."""
    async with running(create_app(with_own_keys(settings))) as client:
        (dataset,) = (each["request"] for each in TOUR if "text" in each["request"])  # no JSON, so not in the document
        headers = dataset["headers"]
        assert (await client.post(dataset["path"], content=dataset["text"], headers=headers)).is_success
        for path, method in OPERATIONS:
            if "{id}" in path or "{sweep}" in path:  # they are made up by the service
                continue
            operation = DOCUMENT["paths"][path][method]
            for media_type in (JSON, lines.MEDIA_TYPE):
                content = operation.get("requestBody", {}).get("content", {}).get(media_type)
                if content is None:
                    continue
                value = next(iter(content["examples"].values()))["value"]
                examples = {
                    one["name"]: one["example"] for one in operation.get("parameters", ()) if one["in"] == "path"
                }
                query = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
                # `name` of a new dataset is in the query with a file, and in the body with JSON
                required = [one for one in query if one["required"] or (media_type != JSON and "example" in one)]
                answer = await client.request(
                    method,
                    path.format(**examples),
                    params={one["name"]: one["example"] for one in required},
                    content=value if isinstance(value, str) else json.dumps(value),
                    headers={"Content-Type": media_type},
                )
                assert answer.is_success, f"{method} {path}: {answer.text}"
                assert "urn:cellar:problem" not in answer.text
