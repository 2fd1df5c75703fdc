"""Slashes, HEAD, addresses and newlines, on a real socket, for routes of every kind."""

from collections.abc import AsyncIterator

import pytest

from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, request, step
from tests.api.websocket.conftest import Served, serving

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/v1/models/gru", "/openapi.json", "/docs/"])
async def test_head_is_get_without_the_body(served: Served, path: str) -> None:
    """The connection goes on behind it."""
    got = await served.http.get(path, headers={"accept-encoding": "identity"})
    async with connected(served) as client:
        for _ in range(2):
            client.writer.write(b"HEAD %s HTTP/1.1\r\nHost: test\r\n\r\n" % path.encode())
            head = await client.head()
            assert (head[""], head["content-type"]) == ("200", got.headers["content-type"])
            assert head["content-length"] == got.headers["content-length"]
        client.writer.write(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await client.answer()).body["status"] == "alive"


async def test_head_of_what_has_no_end_ends(served: Served) -> None:
    session = await served.begin(events=10)
    async with connected(served) as client:
        client.writer.write(b"HEAD /v1/sessions/%s/events HTTP/1.0\r\n\r\n" % session.encode())
        assert (await client.head())["content-type"].startswith("text/event-stream")
        assert await client.ended()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("HEAD", "/v1/steps", "POST"),
        ("OPTIONS", "/v1/sessions/s/step", "POST"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("PATCH", "/v1/models", "GET, HEAD, POST"),
        ("POST", "/docs/", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ],
)
async def test_another_method_is_told_which_there_are(served: Served, method: str, path: str, allowed: str) -> None:
    answer = await served.http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert answer.json()["type"] == "urn:cellar:problem:method_not_allowed"


async def test_a_slash_at_the_end_says_nothing(served: Served) -> None:
    """Not for any method, and not on the protocol's own way."""
    session = await served.begin()
    assert (await served.http.get("/v1/models/")).json() == (await served.http.get("/v1/models")).json()
    assert (await served.http.post("/v1/models/", json={})).status_code == 422
    assert (await served.http.post(f"/v1/sessions/{session}/reset/")).status_code == 200
    assert (
        await served.http.post("/v1/steps/", content=b"", headers={"content-type": "text/plain"})
    ).status_code == 415
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2), path="step/"))
        assert (await client.answer()).body["step"] == 1
    assert (await served.http.get("/v1/models//")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("GET", "/healthz?x=1", "no query"),
        ("GET", "/readyz?x", "no query"),
        ("GET", "/v1/jobs?stat=failed", "did you mean state?"),
        ("GET", "/v1/jobs?state=broken", "'queued', 'running'"),
        ("GET", "/v1/jobs?limit=1&limit=2", "it stands 2 times"),
        ("GET", "/v1/models/gru?limit=1", "no query"),
        ("GET", "/v1/sessions?modell=gru", "did you mean model?"),
        ("GET", "/v1/sessions/s/state?nome=h", "did you mean name?"),
        ("DELETE", "/v1/sessions/s?force=true", "no query"),
        ("POST", "/v1/sessions?x=1", "no query"),
        ("POST", "/v1/steps?reset=true", "no query"),
        ("POST", "/v1/sessions/s/step?seq=1", "no query"),
        ("POST", "/v1/sessions/s/sequence/stream?chunks=1", "did you mean chunk?"),
    ],
)
async def test_a_parameter_that_a_route_does_not_have_is_refused(
    served: Served, method: str, path: str, said: str
) -> None:
    kind = "application/x-ndjson" if "steps" in path or "stream" in path else "application/json"
    answer = await served.http.request(method, path, content=b"{}", headers={"content-type": kind})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:cellar:problem:invalid_parameter")
    assert answer.json()["location"] == "query"
    assert said in answer.text


async def test_a_whole_number_may_be_written_with_a_fraction(served: Served) -> None:
    """7.0 is an integer (JSON Schema), wherever one stands; 7.5 is none, and neither is "7" or true."""
    made = await served.http.post("/v1/sessions", json={"model": "gru", "batch_size": 2.0, "ttl_s": 6e1, "log": 4.0})
    assert (made.status_code, made.json()["batch_size"], made.json()["ttl_s"]) == (201, 2, 60)
    path = f"/v1/sessions/{made.json()['session']}"
    numbered = {"input": [[1, 2], [3, 4]], "writer": "w", "seq": 1.0}
    first = await served.http.post(f"{path}/step", json=numbered)
    assert first.status_code == 200
    again = await served.http.post(f"{path}/step", json=numbered | {"seq": 1})
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert (await served.http.post(f"{path}/reset", json={"rows": [1.0]})).status_code == 200
    for wrong in (0.5, "0", True, 1e300):
        answer = await served.http.post(f"{path}/step", json={"input": [[1, 2], [3, 4]], "step": wrong})
        assert (answer.status_code, answer.json()["pointer"]) == (422, "/step")
        assert answer.json()["expected"] == "an integer"
    async with served.stream(made.json()["session"]) as stream:
        await stream.receive()
        taken = await stream.ask(id=3.0, input=[[1, 2], [3, 4]], step=0.0)
        assert (taken["id"], taken["step"]) == (3, 1)
        refused = await stream.ask(id=4.0, input="nothing", step=1.0)
        assert (refused["id"], refused["problem"]["status"]) == (4, 422)


async def test_a_byte_order_mark_is_passed_over(served: Served) -> None:
    """In bodies, in lines and in messages."""
    session = await served.begin()
    for path, kind, body in (
        (f"/v1/sessions/{session}/reset", "application/json", b"{}"),
        (f"/v1/sessions/{session}/step", "application/json", step(1, 2)),
        ("/v1/steps", "application/x-ndjson", b'{"session": "%s", "input": [1, 2]}\n' % session.encode()),
        (f"/v1/sessions/{session}/sequence/stream", "application/x-ndjson", step(1, 2)),
    ):
        answer = await served.http.post(path, content=b"\xef\xbb\xbf" + body, headers={"content-type": kind})
        assert answer.status_code == 200
        assert "problem" not in answer.text
    async with served.stream(session) as stream:
        await stream.receive()
        await stream.socket.send("\ufeff" + step(1, 2).decode())
        assert (await stream.receive())["step"] == 4


async def test_blank_lines_are_passed_over(served: Served) -> None:
    """By both readers of lines alike."""
    session = await served.begin()
    kind = {"content-type": "application/x-ndjson"}
    lines = (b'{"session": "%s", "input": [1, 2]}' % session.encode(), b'{"input": [1, 2]}')
    for path, line in zip(("/v1/steps", f"/v1/sessions/{session}/sequence/stream"), lines, strict=True):
        answer = await served.http.post(path, content=b"\n \r\n" + line + b"\n\n\t\n" + line + b"\n\n", headers=kind)
        assert answer.status_code == 200
        assert "problem" not in answer.text
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["step"] == 4
    assert (await served.http.post("/v1/steps", content=b"\n" * 100_000, headers=kind)).content == b""


async def test_addresses_name_no_scheme_and_no_host(served: Served) -> None:
    """A proxy before the service knows them, and the service does not."""
    proxied = {"X-Forwarded-Proto": "https"}
    pages = await served.http.get("/docs", headers=proxied)
    assert (pages.status_code, pages.headers["location"]) == (307, "docs/")
    assert (await served.http.get("/docs", follow_redirects=True)).headers["content-type"].startswith("text/html")
    made = await served.http.post("/v1/sessions/", json={"model": "gru"}, headers=proxied)
    assert made.headers["location"].startswith("/v1/sessions/")


async def test_json_ends_with_a_newline(served: Served) -> None:
    """Answers and problems, of the protocol itself, before FastAPI, by it, and encoded as gzip."""
    session = await served.begin()
    path = f"/v1/sessions/{session}"
    for answer in (
        await served.http.get("/healthz"),
        await served.http.get("/openapi.json"),
        await served.http.get(f"{path}/state"),
        await served.http.get("/v1/sessions/nobody"),
        await served.http.get("/nothing"),
        await served.http.post(f"{path}/step", json={"input": [1, 2]}),
        await served.http.post(f"{path}/step", json={"input": [1, 2], "stepp": 1}),
        await served.http.post(f"{path}/step", json={"input": [1, 2]}, headers={"cellar-timeout-ms": "x"}),
        await served.http.post(f"{path}/sequence", json={"inputs": [[1, 2]] * 1000}),
    ):
        assert answer.content.endswith(b"}\n")
        assert not answer.content.endswith(b"\n\n")
    assert answer.headers["content-encoding"] == "gzip"
