"""Bodies that never end take a bounded amount of memory in every route, and steps still run."""

import gzip
import json
import secrets
from collections.abc import AsyncIterator

import pytest

from cellar.api.specs.asyncapi import close_codes
from cellar.memory import request_memory
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, request, step
from tests.api.websocket.conftest import Served, serving, until
from tests.api.websocket.connection.test_protocol import Sent
from tests.api.websocket.test_floods import raw_stream

pytestmark = pytest.mark.anyio

MOST = 300_000
PART = 150_000

JSON, LINES, FRAMES, NPY = (
    b"application/json",
    b"application/x-ndjson",
    b"application/x-cellar-frames",
    b"application/x-npy",
)


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server with a limit that tests can reach."""
    async with serving(with_own_keys(settings, max_unfinished_bytes=MOST)) as served:
        yield served


def unfinished(path: str, kind: bytes, body: bytes, *headers: bytes) -> bytes:
    """Return a request whose body is not all there."""
    lines = [
        b"POST %s HTTP/1.1" % path.encode(),
        b"Host: localhost",
        b"Content-Type: " + kind,
        b"Content-Length: 240000",
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


@pytest.mark.parametrize("way", ["framework", "route", "protocol", "decoded", "line", "sequence"])
async def test_what_is_not_all_there_is_bounded(served: Served, way: str) -> None:
    session = await served.begin()
    noise = secrets.token_hex(PART // 2).encode()
    packed = gzip.compress(b" " * PART, 1)
    data = {
        "framework": unfinished("/v1/models", JSON, b" " * PART),
        "route": unfinished(f"/v1/sessions/{session}/sequence", JSON, b" " * PART),
        "protocol": unfinished(f"/v1/sessions/{session}/step", NPY, noise),
        "decoded": unfinished("/v1/models", JSON, packed[:-8], b"Content-Encoding: gzip"),
        "line": unfinished("/v1/steps", LINES, b'{"' + noise),
        "sequence": unfinished(f"/v1/sessions/{session}/sequence/stream", LINES, b'{"' + noise),
    }[way]
    memory = served.app.state.load.memory
    async with connected(served) as first, connected(served) as second, connected(served) as third:
        first.writer.write(data)
        await until(lambda: memory.held_bytes >= PART - 1000)
        second.writer.write(data)
        head = await second.reader.readuntil(b"\r\n\r\n")
        body = await second.reader.readuntil(b"overloaded")
        assert b" 503 " in head.splitlines()[0] or b"HTTP/1.1 200" in head.splitlines()[0], (head, body)
        assert memory.held_bytes <= MOST
        third.writer.write(request(session, step(1, 2)))
        assert (await third.answer()).status == 200
    await until(lambda: memory.held_bytes == 0)


async def test_messages_that_are_not_all_there_are_bounded(served: Served) -> None:
    memory = served.app.state.load.memory
    message = bytes(Sent(1, b"x" * 200_000))
    for data in (message[:PART], bytes(Sent(1, b"x" * PART, fin=False))):
        async with raw_stream(served) as (first, _), raw_stream(served) as (second, _):
            first.writer.write(data)
            await until(lambda: memory.held_bytes >= PART - 1000)
            second.writer.write(data)
            answer = await second.reader.read(1 << 16)
            assert answer[0] == 0x88
            assert close_codes()[str(int.from_bytes(answer[2:4]))] == ["overloaded"]
            assert answer[4:].startswith(b"overloaded: ")
        await until(lambda: memory.held_bytes == 0)


async def test_a_body_that_never_fits_is_too_large_and_one_that_fits_later_waits(settings: Settings) -> None:
    spaces = [b"[0.25,0.5]" + space * b" " for space in (200, 120)]
    long, short = (b'{"inputs":[%b]}' % b",".join([each] * 1000) for each in spaces)
    async with serving(with_own_keys(settings, max_unfinished_bytes=1_000_000)) as served:
        session, memory = await served.begin(), served.app.state.load.memory
        async with connected(served) as client, connected(served) as other:
            client.writer.write(request(session, long, path="sequence"))
            answer = await client.answer()
            assert answer.status == 413
            assert "CELLAR_MAX_UNFINISHED_BYTES" in str(answer.body["detail"])
            held = memory.reservation()
            held.resize(500_000)
            client.writer.write(request(session, short, path="sequence"))
            await until(lambda: memory.held_bytes > 500_000)
            other.writer.write(request(session, step(1, 2)))
            assert (await other.answer()).status == 200, "a small request does not wait behind a large one"
            held.release()
            answer = await client.answer()
            assert answer.status == 200
        await until(lambda: memory.held_bytes == 0)


async def test_large_inputs_and_outputs_are_counted_until_they_are_answered(served: Served) -> None:
    session, memory = await served.begin(), served.app.state.load.memory
    steps = request(session, json.dumps({"inputs": [[0.25, 0.5]] * 1000}).encode(), path="sequence")
    held = memory.reservation()
    held.hold(MOST - 1000)
    async with connected(served) as client:
        client.writer.write(steps)
        answer = await client.answer()
        assert answer.status == 503
        assert "CELLAR_MAX_UNFINISHED_BYTES" in str(answer.body["detail"])
        held.release()
        for _ in range(2):
            client.writer.write(steps)
            assert (await client.answer()).status == 200
    await until(lambda: memory.held_bytes == 0)


async def test_states_and_weights_that_are_read_reserve_what_their_text_takes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_memory, "WAIT_S", 0.05)
    network = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 512}]}
    async with serving(with_own_keys(settings, max_unfinished_bytes=10_000_000)) as served:
        made = await served.http.post("/v1/models", json={"name": "wide", "network": network, "seed": 1})
        assert made.status_code == 201, made.text
        session = (await served.http.post("/v1/sessions", json={"model": "wide", "batch_size": 64})).json()["session"]
        weights, state = "/v1/models/wide/weights", f"/v1/sessions/{session}/state"
        memory = served.app.state.load.memory
        for path in (weights, state):
            assert (await served.http.get(path, headers={"Accept": "application/json"})).status_code == 200
        held = memory.reservation()
        held.hold(1_990_000)
        memory.most_bytes = 2_000_000
        for path in (weights, state):
            answer = await served.http.get(path, headers={"Accept": "application/json"})
            assert (path, answer.status_code) == (path, 413 if path is weights else 503)
            assert "CELLAR_MAX_UNFINISHED_BYTES" in answer.json()["detail"]
        held.release()
    assert memory.held_bytes == 0
