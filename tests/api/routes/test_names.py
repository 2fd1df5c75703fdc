"""What things may be called, and that all who read names agree on it."""

import re
from collections.abc import AsyncIterator

import pytest

from cellar.ports import MODEL_NAME, NAME
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, request, step
from tests.api.websocket.conftest import Served, serving

pytestmark = pytest.mark.anyio

MAC = "aa:bb:cc:dd:ee:ff"
DOTS = (".", "..")
LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


@pytest.mark.parametrize("name", ["a", "a.", ".a", "...", "a.b", "-", "_", MAC, ":", "a" * 128, "." * 128])
def test_names(name: str) -> None:
    assert re.fullmatch(NAME, name)
    assert (re.fullmatch(MODEL_NAME, name) is not None) is (":" not in name)


@pytest.mark.parametrize("name", ["", *DOTS, "a" * 129, "a b", "a/b", "ä", "a@1", "{a}", "a\n", "%2e"])
def test_no_names(name: str) -> None:
    assert not re.fullmatch(NAME, name)
    assert not re.fullmatch(MODEL_NAME, name)


@pytest.mark.parametrize("name", DOTS)
async def test_nothing_is_called_by_dots(served: Served, name: str) -> None:
    """It could be made, and then neither be reached nor be deleted."""
    session = await served.begin()
    network = {"in_size": 1, "layers": [{"type": "dense", "out_size": 1}]}
    for path, body, pointer in (
        ("/v1/sessions", {"session": name, "model": "gru"}, "/session"),
        ("/v1/models", {"name": name, "network": network}, "/name"),
        ("/v1/jobs", {"model": name, "data": {"inputs": [1], "targets": [1], "layout": "T"}}, "/model"),
        (f"/v1/sessions/{session}/snapshots", {"snapshot": name}, "/snapshot"),
        (f"/v1/sessions/{session}/fork", {"names": [name]}, "/names/0"),
    ):
        answer = await served.http.post(path, json=body)
        assert (answer.status_code, answer.json()["pointer"]) == (422, pointer)
        assert "and not . or .." in answer.json()["expected"]
    answer = await served.http.post("/v1/steps", json={"session": name, "input": [1, 2]}, headers=LINES)
    assert answer.json()["pointer"] == "/session"
    async with connected(served) as client:
        for _ in range(2):
            client.writer.write(request(name, step(1, 2)))
            answered = await client.answer()
            assert (answered.status, answered.body["parameter"]) == (422, "session")


async def test_a_session_may_be_called_as_its_device(served: Served) -> None:
    """By every way that leads to it, and beside others whose names begin so."""
    for name in (MAC, f"{MAC}:t"):
        assert await served.begin(session=name, events=9, log=9) == name
    path = f"/v1/sessions/{MAC}"
    async with connected(served) as client:
        for _ in range(3):
            client.writer.write(request(MAC, step(1, 2), b"Idempotency-Key: a:b"))
            assert (await client.answer()).body["step"] == 1
    assert (await served.http.post(f"/v1/sessions/{MAC.replace(':', '%3A')}/step", json={"input": [1, 2]})).json()[
        "step"
    ] == 2
    answer = await served.http.post("/v1/steps", json={"session": MAC, "input": [1, 2]}, headers=LINES)
    assert answer.json()["step"] == 3
    async with served.stream(MAC) as stream:
        assert (await stream.receive())["step"] == 3
    assert (await served.http.post(f"{path}/snapshots", json={"snapshot": "a:b"})).status_code == 201
    assert (await served.http.get(f"{path}/snapshots/a:b")).json()["step"] == 3
    assert (await served.http.get(f"{path}/log")).status_code == 200
    listed = await served.http.get("/v1/sessions", params={"prefix": MAC, "limit": 1})
    assert [one["session"] for one in listed.json()["sessions"]] in ([MAC], [f"{MAC}:t"])
    rest = await served.http.get("/v1/sessions", params={"prefix": MAC, "cursor": listed.json()["cursor"]})
    assert len(rest.json()["sessions"]) == 1
    assert (await served.http.delete(path)).status_code == 204
    assert (await served.http.get(path)).status_code == 404
    assert (await served.http.get(f"{path}:t")).json()["step"] == 0
