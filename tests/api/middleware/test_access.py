"""Foreign pages change nothing, and foreign names reach nothing: by the protocol itself and by the application."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect

from cellar.api.middleware.access import Access
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, request, step
from tests.api.websocket.conftest import Served, Stream, serving

pytestmark = pytest.mark.anyio

FOREIGN = {"Origin": "https://evil.example"}
APP = "https://app.example.com"


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


@pytest.mark.parametrize(
    "headers", [FOREIGN, {"Origin": "null"}, {"Origin": "http://["}, {"Sec-Fetch-Site": "cross-site"}]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/sessions/{session}/reset"),
        ("POST", "/v1/jobs/none/cancel"),
        ("DELETE", "/v1/sessions/{session}"),
        ("PUT", "/v1/sessions/{session}/state"),
        ("PATCH", "/v1/sessions/{session}/state"),
        ("POST", "/v1/steps"),
        ("OPTIONS", "/v1/sessions/{session}/step"),
    ],
)
async def test_foreign_pages_change_nothing(served: Served, headers: dict[str, str], method: str, path: str) -> None:
    session = await served.begin()
    before = (await served.http.get(f"/v1/sessions/{session}")).json()["position"]
    answer = await served.http.request(method, path.format(session=session), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:cellar:problem:origin_refused")
    assert (await served.http.get(f"/v1/sessions/{session}", headers=headers)).json()["position"] == before


async def test_pages_of_the_service_change_what_they_like(served: Served) -> None:
    session = await served.begin()
    for headers in (
        {"Origin": f"http://{served.address}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert (await served.http.post(f"/v1/sessions/{session}/reset", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "host", [b"evil.example", b"evil.example:80", b"10.0.0.1", b"localhost.evil.example", b"[::2]", b""]
)
async def test_a_foreign_name_reaches_nothing(served: Served, host: bytes) -> None:
    """Neither before the protocol knows the head nor after."""
    session = await served.begin()
    good = request(session, step(1, 2))
    bad = good.replace(b"Host: test", b"Host: " + host)
    async with connected(served) as client:
        for data, expected in ((bad, 403), (good, 200), (good, 200), (good, 200), (bad, 403), (bad, 403), (good, 200)):
            client.writer.write(data)
            assert (await client.answer()).status == expected
        client.writer.write(bad.replace(b"\r\n\r\n", b"\r\nOrigin: http://%s\r\n\r\n" % host))
        assert (await client.answer()).body["type"] == "urn:cellar:problem:host_refused"
        client.writer.write(b"GET http://%s/healthz HTTP/1.1\r\nHost: test\r\n\r\n" % (host or b"-"))
        assert (await client.answer()).status == 403
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == 4


@pytest.mark.parametrize(
    "host", [b"localhost", b"LOCALHOST:1", b"127.0.0.1:8080", b"127.1.2.3", b"[::1]:8080", b"test"]
)
async def test_its_own_names_reach_it(served: Served, host: bytes) -> None:
    session = await served.begin()
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2)).replace(b"Host: test", b"Host: " + host))
        assert (await client.answer()).status == 200


async def test_a_foreign_name_opens_no_stream(served: Served) -> None:
    """A page whose own name leads to this machine has an Origin that fits."""
    head = (
        b"GET /v1/stream HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    async with connected(served) as client:
        client.writer.write(head)
        assert (await client.head())[""] == "101"
        frame = await client.reader.readexactly(4)
        assert (frame[0], int.from_bytes(frame[2:])) == (0x88, 4403)
        assert (await client.reader.readexactly(frame[1] - 2)).startswith(b"host_refused: ")


async def test_a_known_head_with_a_foreign_origin_is_another_head(served: Served) -> None:
    session = await served.begin()
    async with connected(served) as client:
        for _ in range(3):
            client.writer.write(request(session, step(1, 2)))
            assert (await client.answer()).status == 200
        client.writer.write(request(session, step(1, 2), b"Origin: https://evil.example"))
        assert (await client.answer()).body["type"] == "urn:cellar:problem:origin_refused"


async def test_a_page_that_is_allowed_gets_what_its_browser_asks_for(settings: Settings) -> None:
    changes: dict[str, Any] = {
        "allowed_origins": (APP,),
        "allowed_hosts": None,
        "host": "0.0.0.0",
        "authentication": "none",
    }
    async with serving(with_own_keys(settings, **changes)) as served:
        session = await served.begin()
        path = f"/v1/sessions/{session}/step"
        asks = {
            "Origin": APP,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        preflight = await served.http.options(path, headers=asks)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, APP)
        headers = {"Origin": APP, "Host": "any.example"}
        answer = await served.http.post(path, json={"input": [1, 2]}, headers=headers)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, APP)
        assert "Cellar-Position" in answer.headers["access-control-expose-headers"]
        assert (await served.http.options(path, headers={**asks, **FOREIGN})).status_code == 403
        # an Origin is a text
        async with connect(f"ws://{served.address}/v1/sessions/{session}/stream", origin=APP) as socket:  # type: ignore[arg-type]
            assert (await Stream(socket).receive())["step"] == 1


@pytest.mark.parametrize(
    ("listens_on", "hosts", "name", "admitted"),
    [
        ("127.0.0.1", None, "cellar.example", False),
        ("::1", None, "cellar.example", False),
        ("localhost", None, "localhost:99", True),
        ("0.0.0.0", None, "cellar.example", True),
        ("0.0.0.0", ("Cellar.example",), "cellar.EXAMPLE:443", True),
        ("0.0.0.0", ("cellar.example",), "other.example", False),
        ("0.0.0.0", ("cellar.example",), "localhost", True),
        ("127.0.0.1", ("*",), "other.example", True),
        ("127.0.0.1", ("fd00::1",), "[fd00::1]:8080", True),
        ("127.0.0.1", (), None, True),
    ],
)
def test_the_names_of_a_service(
    listens_on: str, hosts: tuple[str, ...] | None, name: str | None, admitted: bool
) -> None:
    assert Access.of(listens_on, hosts, ()).admits_host(name) is admitted
