"""Requests with API keys: what each scope may do, in every form in which a key is sent, until the key ends."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from cellar.api.middleware.authentication import KEY_SUBPROTOCOL, SCOPE_OF, SUBPROTOCOL, scope_of
from cellar.api.routes.catalogue import datasets
from cellar.api.specs import openapi
from cellar.datasets.ingestion.reading import read_table
from cellar.keys.administration import KeyAdministration
from cellar.ports import SCOPES, Scope
from cellar.settings import Settings
from tests.api.connections import connected, request, step
from tests.api.keys import administration, with_keys
from tests.api.websocket.conftest import NETWORK, Served, serving

pytestmark = pytest.mark.anyio

LIMIT_S = 30.0
"""Time in which a key that was made or revoked must be known, on a machine with much else to do."""


class Keyed:
    """A server whose requests need keys, with a session `s` that has events."""

    def __init__(self, served: Served, keys: KeyAdministration) -> None:
        self.served = served
        self.keys = keys

    def make(self, *scopes: Scope, tenant: str = "acme", lasts_s: float | None = None) -> str:
        """Return the text of a new key."""
        return self.keys.create(tenant, "", scopes, lasts_s=lasts_s).text

    def revoke(self, key: str) -> None:
        """Revoke a key as another process does."""
        self.keys.revoke("acme", key.split("_")[1])

    async def known(self, key: str) -> str:
        """Wait until the server knows a key, and return it."""
        async with asyncio.timeout(LIMIT_S):
            while (await self.get("/v1/models", key)) == 401:  # noqa: ASYNC110  # the server reads new keys at times
                await asyncio.sleep(0.02)
        return key

    async def ends(self, key: str) -> None:
        """Wait until the server refuses a key."""
        async with asyncio.timeout(LIMIT_S):
            while (await self.step(key)) == 200:  # noqa: ASYNC110  # the server reads changes at times
                await asyncio.sleep(0.02)
        assert await self.step(key) == 401

    async def get(self, path: str, key: str) -> int:
        """Return the status of a GET with a key."""
        return (await self.served.http.get(path, headers=bearer(key))).status_code

    async def step(self, key: str) -> int:
        """Return the status of a step with a key."""
        json = {"input": [1, 2]}
        return (await self.served.http.post("/v1/sessions/s/step", json=json, headers=bearer(key))).status_code


def bearer(key: str) -> dict[str, str]:
    """Return the header with a key."""
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
async def keyed(settings: Settings) -> AsyncIterator[Keyed]:
    """Yield a server that the tests share."""
    own = with_keys(settings)
    keys = administration(own)
    admin = keys.create("acme", "", ["admin"]).text
    async with serving(own, admin) as served:
        body = {"session": "s", "model": "gru", "events": 100}
        assert (await served.http.post("/v1/sessions", json=body)).status_code == 201
        yield Keyed(served, keys)


@cache
def operations() -> Sequence[tuple[str, str]]:
    """Return method and path of all routes that need a key."""
    paths = openapi.document()["paths"]
    return [(method.upper(), path) for path in paths if path.startswith("/v1/") for method in paths[path]]


def test_every_route_has_a_scope() -> None:
    paths = {path for _, path in operations()} | {"/v1/stream", "/v1/sessions/{session}/stream"}
    assert len(paths) > 30
    for path in paths:
        assert any(pattern.fullmatch(path) for pattern, _, _ in SCOPE_OF), path


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_scope_opens_its_routes_and_no_others(keyed: Keyed, scope: Scope) -> None:
    key = await keyed.known(keyed.make(scope))
    allowed = {"admin": set(SCOPES)}.get(scope, {scope, "read"})
    for method, path in operations():
        if path.endswith("/events"):
            continue
        place = re.sub(r"\{\w+\}", "absent", path)
        answer = await keyed.served.http.request(method, place, headers=bearer(key))
        refused = answer.status_code == 403
        assert refused == (scope_of(method, place) not in allowed), (method, place, answer.text)
        if refused:
            assert answer.json()["type"].endswith(":scope_missing")
            assert answer.json()["scope"] == scope_of(method, place)


async def test_an_ending_line_feed_opens_no_route(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("read"))
    for method, path in operations():
        place = re.sub(r"\{\w+\}", "absent", path)
        answer = await keyed.served.http.request(method, f"{place}%0A", headers=bearer(key))
        assert answer.status_code in (403, 404, 422), (method, place, answer.text)
        assert answer.status_code != 422 or path.endswith("}"), (method, place, answer.text)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Basic Ym9zczpzZWNyZXQ=",
        "Bearer cellar_0123456789ab_" + 43 * "a",
        "Bearer cellar_0123456789ab",
        "Bearer \xe9",
        "cellar_0123456789ab_" + 43 * "a",
    ],
)
async def test_wrong_credentials_are_refused_with_a_challenge(keyed: Keyed, header: str) -> None:
    answer = await keyed.served.http.get("/v1/models", headers=[(b"authorization", header.encode("latin-1"))])
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:cellar:problem:unauthenticated"


async def test_a_right_id_with_another_secret_is_refused(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("read"))
    assert await keyed.get("/v1/models", key[:-1] + ("a" if key[-1] != "a" else "b")) == 401


async def test_checks_of_health_need_no_key(keyed: Keyed) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs/", "/", "/page/0/main.js"):
        assert (await keyed.served.http.get(path, headers={"authorization": ""})).status_code == 200


async def test_another_tenants_names_are_unknown(keyed: Keyed) -> None:
    other = await keyed.known(keyed.make("admin", tenant="other"))
    for path in ("/v1/sessions/s", "/v1/sessions/no-such"):
        answer = await keyed.served.http.get(path, headers=bearer(other))
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:cellar:problem:session_unknown")
    keys = (await keyed.served.http.get("/v1/keys", headers=bearer(other))).json()["keys"]
    assert [each["id"] for each in keys] == [other.split("_")[1]]
    own = keyed.make("read")
    assert await keyed.get(f"/v1/keys/{own.split('_')[1]}", other) == 404


async def test_a_key_ends_at_its_time(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("step", lasts_s=3))
    await keyed.ends(key)


async def test_a_rotated_key_overlaps_with_the_new_one(keyed: Keyed) -> None:
    old = await keyed.known(keyed.make("step"))
    admin = keyed.served.http.headers["authorization"].removeprefix("Bearer ")
    made = await keyed.served.http.post(
        f"/v1/keys/{old.split('_')[1]}/rotate", json={"overlap_s": 1}, headers=bearer(admin)
    )
    assert made.status_code == 201, made.text
    new = made.json()["key"]
    await keyed.known(new)
    await keyed.ends(old)
    assert await keyed.step(new) == 200


async def test_a_known_head_is_refused_when_its_key_is_revoked(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("step"))
    line = f"authorization: Bearer {key}".encode()
    async with connected(keyed.served) as client:
        for _ in range(4):  # the head is known from the second on
            client.writer.write(request("s", step(1, 2), line))
            assert (await client.answer()).status == 200
        keyed.revoke(key)
        await keyed.ends(key)
        client.writer.write(request("s", step(1, 2), line))
        assert (await client.answer()).status == 401


async def test_a_head_without_the_scope_is_refused_on_a_connection_that_has_stepped(keyed: Keyed) -> None:
    key, other = await keyed.known(keyed.make("step")), await keyed.known(keyed.make("train"))
    async with connected(keyed.served) as client:
        for text, expected in ((key, 200), (key, 200), (other, 403), (key, 200), (other, 403)):
            client.writer.write(request("s", step(1, 2), f"authorization: Bearer {text}".encode()))
            assert (await client.answer()).status == expected


async def test_requests_of_several_tenants_on_one_connection_reach_their_own_sessions(keyed: Keyed) -> None:
    """A proxy sends the requests of all clients on a few connections."""
    keys = {tenant: await keyed.known(keyed.make("admin", tenant=tenant)) for tenant in ("gamma", "delta")}
    for key in keys.values():
        for path, body in (
            ("models", {"name": "gru", "network": NETWORK}),
            ("sessions", {"session": "s", "model": "gru"}),
        ):
            made = await keyed.served.http.post(f"/v1/{path}", json=body, headers=bearer(key))
            assert made.status_code == 201, made.text
    async with connected(keyed.served) as client:
        for number in range(1, 6):
            for key in (keys["gamma"], keys["delta"], keys["gamma"]):
                client.writer.write(request("s", step(1, 2), f"authorization: Bearer {key}".encode()))
                assert (await client.answer()).status == 200
            for tenant, expected in (("gamma", 2 * number), ("delta", number)):
                read = await keyed.served.http.get("/v1/sessions/s", headers=bearer(keys[tenant]))
                assert read.json()["step"] == expected


async def stream_ends(keyed: Keyed, query: str = "", protocols: Sequence[str] = (), key: str = "") -> int | None:
    """Open a stream, read its greeting, and return the close code if it has none."""
    address = f"ws://{keyed.served.address}/v1/sessions/s/stream{query}"
    offered = [Subprotocol(each) for each in protocols] or None
    async with connect(address, additional_headers=bearer(key) if key else None, subprotocols=offered) as socket:
        try:
            await socket.recv()
        except ConnectionClosed:
            return socket.close_code
        assert socket.subprotocol == (SUBPROTOCOL if protocols else None)
        return None


async def ticket(keyed: Keyed, key: str) -> str:
    """Return a ticket for a key."""
    made = await keyed.served.http.post("/v1/tickets", headers=bearer(key))
    assert made.status_code == 201, made.text
    return f"?ticket={made.json()['ticket']}"


async def test_a_stream_takes_a_key_in_each_form(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("step"))
    assert await stream_ends(keyed, key=key) is None
    assert await stream_ends(keyed, protocols=[SUBPROTOCOL, KEY_SUBPROTOCOL + key]) is None
    assert await stream_ends(keyed, await ticket(keyed, key)) is None
    assert await stream_ends(keyed) == 4401
    assert await stream_ends(keyed, protocols=[SUBPROTOCOL, KEY_SUBPROTOCOL + "x"]) == 4401
    assert await stream_ends(keyed, "?ticket=0123456789ab.99999999999." + 64 * "0") == 4401
    assert await stream_ends(keyed, (await ticket(keyed, key))[:-1]) == 4401
    assert await stream_ends(keyed, key=await keyed.known(keyed.make("read"))) == 4403


async def test_events_take_a_ticket_and_end_with_the_key(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("step"))
    place = f"/v1/sessions/s/events{await ticket(keyed, key)}"
    async with keyed.served.http.stream("GET", place, headers={"authorization": ""}) as answer:
        assert answer.status_code == 401  # a header counts before a ticket
    client = keyed.served.http
    client_headers = client.headers.pop("authorization")
    try:
        async with client.stream("GET", place) as answer:
            assert answer.status_code == 200
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith("retry:")
            keyed.revoke(key)
            async with asyncio.timeout(LIMIT_S):
                async for _ in lines:
                    pass
    finally:
        client.headers["authorization"] = client_headers


async def test_an_open_stream_is_closed_with_its_key(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("step"))
    async with keyed.served.stream("s", **bearer(key)) as stream:
        await stream.receive()
        assert "output" in await stream.ask(input=[1, 2])
        keyed.revoke(key)
        async with asyncio.timeout(LIMIT_S):
            code, reason = await stream.end()
    assert (code, reason.partition(":")[0]) == (4401, "unauthenticated")


def begun(path: str, kind: str, key: str) -> bytes:
    """Return the head of a request with a body in chunks."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Type: {kind}", f"Authorization: Bearer {key}"]
    return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()


def chunk(data: bytes) -> bytes:
    """Return a chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


async def test_steps_of_an_open_request_end_with_its_key(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("step"))
    async with connected(keyed.served) as client, asyncio.timeout(LIMIT_S):
        line = chunk(b'{"session": "s", "input": [1, 2]}\n')
        client.writer.write(begun("/v1/steps", "application/x-ndjson", key) + line)
        assert (await client.head())[""] == "200"
        await client.reader.readuntil(b'"output"')
        keyed.revoke(key)
        await client.reader.readuntil(b"\r\n0\r\n\r\n")  # the answer is complete, without another line


async def test_an_upload_ends_with_its_key(keyed: Keyed) -> None:
    key = await keyed.known(keyed.make("train"))
    async with connected(keyed.served) as client, asyncio.timeout(LIMIT_S):
        client.writer.write(begun("/v1/datasets?name=late", "text/csv", key) + chunk(b"a,b\n" + b"1,2\n" * 10_000))
        keyed.revoke(key)
        answer = await client.answer()
        assert (answer.status, answer.body["type"]) == (401, "urn:cellar:problem:unauthenticated")
    assert (await keyed.served.http.get("/v1/datasets/late")).status_code == 404


async def test_a_file_that_was_read_for_longer_than_its_key_lasted_is_not_kept(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await keyed.known(keyed.make("train"))

    def slow(*given: Any) -> Any:
        """Read the file until the key has ended."""
        keyed.revoke(key)
        end_s = time.monotonic() + LIMIT_S
        while keyed.served.app.state.authenticator.credentials.holds(caller) and time.monotonic() < end_s:
            time.sleep(0.02)
        return read_table(*given)

    caller = keyed.served.app.state.authenticator.credentials.caller(key)
    monkeypatch.setattr(datasets, "read_table", slow)
    headers = {"content-type": "text/csv", **bearer(key)}
    answer = await keyed.served.http.post("/v1/datasets?name=late", content=b"a\n1\n", headers=headers)
    assert answer.status_code == 401, answer.text
    assert (await keyed.served.http.get("/v1/datasets/late")).status_code == 404


async def test_keys_of_another_pepper_are_not_taken(settings: Settings) -> None:
    own = with_keys(settings)
    administration(own).store.check_pepper(b"another pepper's")
    with pytest.raises(AssertionError, match="under another pepper"):
        async with serving(own, "x"):
            pass
