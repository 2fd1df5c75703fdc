"""The files of the page at `/`: security headers, caching by content, and who may have them."""

import re

import httpx
import pytest

from cellar.main import create_app
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys

pytestmark = pytest.mark.anyio


async def test_the_document_is_checked_each_time_and_its_files_never(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert 'name="cellar-authentication" content="none"' in page.text
    assert "{{" not in page.text
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) > 30
    assert all(file.startswith("page/") for file in files)
    for file in files:
        answer = await client.get(f"/{file}")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_file_of_another_version_is_the_present_one_and_not_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/page/0123456789abcdef/main.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("path", ["/", "/page/0/main.js", "/page/0/icon.png", "/docs/", "/docs/start.js"])
async def test_answers_have_security_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["style-src"] == ("'self' 'unsafe-inline'" if path.startswith("/docs") else "'self'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


async def test_documents_have_no_script_of_their_own(client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs/"):
        assert re.findall(r"<script[^>]*>([^<\s]+)| on\w+=", (await client.get(path)).text) == []
    assert "style" not in re.sub(r"stylesheet|styles/", "", (await client.get("/")).text)


async def test_texts_are_compressed_for_clients_that_accept_it(client: httpx.AsyncClient) -> None:
    packed = await client.get("/page/0/vendor/uplot.js", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("/page/0/vendor/uplot.js", headers={"Accept-Encoding": "identity"})
    assert packed.text == plain.text
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2


@pytest.mark.parametrize(
    "path", ["/page/0/nothing.js", "/page/0/", "/page/0/../app.py", "/page/0/%2e%2e/page.py", "/page/0/views"]
)
async def test_there_is_nothing_else(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:cellar:problem:not_found")


async def test_the_page_can_be_switched_off(settings: Settings) -> None:
    async with running(create_app(with_own_keys(settings).model_copy(update={"page": False}))) as client:
        for path in ("/", "/page/0/main.js"):
            assert (await client.get(path)).json()["type"] == "urn:cellar:problem:not_found"
        assert (await client.get("/docs/")).status_code == 200
