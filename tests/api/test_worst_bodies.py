"""Bodies at the limit that are full of faults: told of one fault, read by a thread, and with bounded memory."""

import threading
import tracemalloc
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from benchmarks.bodies import Body, json_bodies, other_bodies
from cellar.api.errors.validation_errors import invalid_body
from cellar.wire.json.document import MOST_MEMBERS
from cellar.wire.json.long_document import decode_long
from tests.api.conftest import MAX_BODY_BYTES

pytestmark = pytest.mark.anyio

SIZE = MAX_BODY_BYTES - 1024
MOST_FAULTS = 2 * MOST_MEMBERS
"""That the models find in one body: those of one object, or of two that hold each other."""
MOST_ANSWER_BYTES = 32 * 1024
MOST_BYTES = 48 * 1024 * 1024
"""Memory that a body of 256 KiB takes."""

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 1}]}
PLACES = {
    "model, layers",
    "step, input",
    "state, layers",
    "reset, rows",
    "job, inputs",
    "/v1/steps",
    "/v1/sessions/one/sequence/stream",
}
"""Which any content is sent to; the other ones have fields of the same kinds."""
EVERYWHERE = {"strings", "members", "deep arrays"}
"""Contents that are sent to all places."""
CONTENTS = sorted({body.content for body in json_bodies(1024, "one", "model")})


@pytest.fixture(scope="module")
async def names(client: httpx.AsyncClient) -> tuple[str, str]:
    """Return a session and its model."""
    name = uuid.uuid4().hex
    for path, made in (("/v1/models", {"name": name, "network": NETWORK}), ("/v1/sessions", {"model": name})):
        answer = await client.post(path, json=made)
        assert answer.status_code == 201, answer.text
    return str(answer.json()["session"]), name


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """Yield the threads that decode long bodies, and see that the models find few faults."""
    threads: set[int] = set()

    def decode(*arguments: Any) -> Any:
        threads.add(threading.get_ident())
        return decode_long(*arguments)

    def invalid(found: Any, *others: Any) -> Any:
        assert len(found) <= MOST_FAULTS
        return invalid_body(found, *others)

    monkeypatch.setattr("cellar.wire.json.document.decode_long", decode)
    monkeypatch.setattr("cellar.api.http.body.invalid_body", invalid)
    yield threads
    assert threading.get_ident() not in threads, "the event loop's thread reads no long body"


async def send(client: httpx.AsyncClient, body: Body) -> None:
    """Send a body and see that it is refused in few words."""
    answer = await client.request(body.method, body.path, content=body.data, headers={"content-type": body.kind})
    streamed = body.path.endswith(("/steps", "/stream"))
    assert answer.status_code in ({200, 400, 413, 422} if streamed else {400, 404, 413, 422}), (body.place, answer.text)
    assert len(answer.content) < MOST_ANSWER_BYTES or streamed


@pytest.mark.parametrize("content", CONTENTS)
async def test_json_of_any_content(
    client: httpx.AsyncClient, names: tuple[str, str], readers: set[int], content: str
) -> None:
    for body in json_bodies(SIZE, *names):
        if body.content == content and (body.place in PLACES or content in EVERYWHERE):
            await send(client, body)
    assert readers


async def test_no_content_takes_much_memory(client: httpx.AsyncClient, names: tuple[str, str]) -> None:
    tracemalloc.start()
    try:
        for body in json_bodies(SIZE, *names):
            if body.place in {"sequence, reset", "model, layers"}:
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                await send(client, body)
                assert tracemalloc.get_traced_memory()[1] - before < MOST_BYTES, body
    finally:
        tracemalloc.stop()


async def test_other_bodies(client: httpx.AsyncClient, names: tuple[str, str]) -> None:
    for body in other_bodies(SIZE, names[0]):
        await send(client, body)
