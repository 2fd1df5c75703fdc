"""Sequences of any length over HTTP: lines and npy, chunk by chunk or as a whole, and what is wrong with them."""

import gzip
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.api.conftest import MAX_BODY_BYTES

pytestmark = pytest.mark.anyio

LINES, NPY = "application/x-ndjson", "application/x-npy"
INPUTS = np.random.default_rng(3).standard_normal((40, 2)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
async def model(client: httpx.AsyncClient) -> None:
    """Create a model."""
    network = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
    assert (await client.post("/v1/models", json={"name": "gru", "network": network})).status_code == 201


async def begin(client: httpx.AsyncClient, rows: int = 1) -> str:
    """Return the path of a new session."""
    answer = await client.post("/v1/sessions", json={"model": "gru", "batch_size": rows})
    return str(answer.headers["location"])


def lines_of(inputs: NDArray[np.float32]) -> bytes:
    """Return steps as lines, the first of them alone and the others by threes."""
    blocks = [{"input": inputs[0].tolist()}]
    blocks += [{"inputs": inputs[start : start + 3].tolist()} for start in range(1, len(inputs), 3)]
    return b"".join(json.dumps(block).encode() + b"\n" for block in blocks)


def file_of(array: NDArray[Any]) -> bytes:
    """Return an array as an npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


async def send(
    client: httpx.AsyncClient,
    session: str,
    content: bytes | AsyncIterator[bytes],
    kind: str = LINES,
    *,
    headers: dict[str, str] | None = None,
    **query: str | int,
) -> list[dict[str, Any]]:
    """Send a body and return the lines of its answer."""
    answer = await client.post(
        f"{session}/sequence/stream", content=content, params=query, headers={"content-type": kind, **(headers or {})}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == LINES
    return [json.loads(line) for line in answer.content.splitlines()]


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    """Yield the data a few bytes at a time."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def at_once(client: httpx.AsyncClient) -> tuple[list[Any], list[Any]]:
    """Return the outputs and the state of all steps in one request."""
    session = await begin(client)
    outputs = (await client.post(f"{session}/sequence", json={"inputs": INPUTS.tolist()})).json()["outputs"]
    return outputs, (await client.get(f"{session}/state")).json()["layers"]


@pytest.mark.parametrize("commit", ["chunk", "all"])
@pytest.mark.parametrize("kind", [LINES, NPY])
async def test_the_bits_are_those_of_one_request(client: httpx.AsyncClient, kind: str, commit: str) -> None:
    outputs, layers = await at_once(client)
    session = await begin(client)
    body = lines_of(INPUTS) if kind == LINES else file_of(INPUTS)
    *chunks, last = await send(client, session, in_pieces(body, 7), kind, commit=commit, chunk=16, outputs="all")
    assert [row[0] for chunk in chunks for row in chunk["outputs"]] == outputs
    assert [(chunk["first"], chunk["steps"]) for chunk in chunks] == [(0, 16), (16, 16), (32, 8)]
    assert {chunk["committed"] for chunk in chunks} == {commit == "chunk"}
    now = (await client.get(session)).json()
    assert last == {"done": True, "steps": 40, "committed": True, "step": 40, "position": now["position"]}
    assert (await client.get(f"{session}/state")).json()["layers"] == layers


async def test_lines_have_the_outputs_that_are_asked_for(client: httpx.AsyncClient) -> None:
    outputs, _ = await at_once(client)
    found = await send(client, await begin(client), lines_of(INPUTS), chunk=30)
    assert [line["outputs"] for line in found[:-1]] == [[[outputs[29]]], [[outputs[39]]]]
    found = await send(client, await begin(client), lines_of(INPUTS), outputs="none")
    assert "outputs" not in found[0]


async def test_a_body_over_the_limit_is_read(client: httpx.AsyncClient) -> None:
    steps = MAX_BODY_BYTES // 8 + 1000
    session = await begin(client)
    packed = gzip.compress(file_of(np.zeros((steps, 2), np.float32)))
    found = await send(client, session, packed, NPY, headers={"content-encoding": "gzip"}, outputs="none")
    assert found[-1]["step"] == steps
    # as many steps in a chunk as a request may have
    assert {line["steps"] for line in found[:-2]} == {1000}


async def test_rows(client: httpx.AsyncClient) -> None:
    rows = np.stack([INPUTS, -INPUTS], axis=1)
    outputs, _ = await at_once(client)
    session = await begin(client, rows=2)
    by_line = await send(client, session, lines_of(rows), outputs="all", chunk=20)
    assert [row[0] for line in by_line[:-1] for row in line["outputs"]] == outputs
    by_file = await send(client, session, file_of(rows), NPY, outputs="all", reset="10")
    assert [row[0] for line in by_file[:-1] for row in line["outputs"]] == outputs


async def test_sent_again_it_is_not_applied_again(client: httpx.AsyncClient) -> None:
    session = await begin(client)
    position = (await client.get(session)).json()["position"]
    first = await send(client, session, lines_of(INPUTS[:22]), chunk=4, position=position)
    again = await send(client, session, file_of(INPUTS), NPY, chunk=16, position=position)
    assert again[0] == {
        "first": 0,
        "steps": 22,
        "committed": True,
        "replayed": True,
        "outputs": None,
        **{name: first[-1][name] for name in ("step", "position")},
    }
    assert again[-1]["step"] == 40
    assert "replayed" not in again[-1]
    assert (await client.get(f"{session}/state")).json()["layers"] == (await at_once(client))[1]
    assert (await send(client, session, lines_of(INPUTS), position=position))[-1]["replayed"] is True


@pytest.mark.parametrize("fault", [b'{"input": [1, "2"]}\n', b"[1, 2]\n", b"{", b'{"input": [1, 2, 3]}', b'{"x": [1]}'])
async def test_a_fault_in_the_middle(client: httpx.AsyncClient, fault: bytes) -> None:
    for commit, kept in (("chunk", 20), ("all", 0)):
        session = await begin(client)
        found = await send(client, session, lines_of(INPUTS[:22]) + fault, chunk=10, commit=commit)
        assert [line.get("steps") for line in found] == [10, 10, None]
        assert found[-1]["status"] in (400, 422)
        assert found[-1]["first"] == 20
        now = (await client.get(session)).json()
        assert (found[-1]["step"], found[-1]["position"]) == (kept, now["position"])
        assert now["step"] == kept


async def test_what_changes_the_session_meanwhile_ends_a_whole(client: httpx.AsyncClient) -> None:
    session = await begin(client)

    async def body() -> AsyncIterator[bytes]:
        yield lines_of(INPUTS[:20])
        await client.post(f"{session}/step", json={"input": [0, 0]})
        yield lines_of(INPUTS[20:])

    *_, last = await send(client, session, body(), commit="all", chunk=10)
    assert (last["type"], last["status"]) == ("urn:cellar:problem:session_moved", 409)
    assert (await client.get(session)).json()["step"] == 1


WRONG_FILES = {
    "shape_mismatch": file_of(np.zeros((4, 3), np.float32)),
    "invalid_input": file_of(np.asfortranarray(INPUTS)),
    "malformed_body": b"\x93NUMPY\1\0",
    "not_finite": file_of(np.array([[1, np.inf]])),
}


@pytest.mark.parametrize("slug", WRONG_FILES)
async def test_files_that_are_none(client: httpx.AsyncClient, slug: str) -> None:
    session = await begin(client)
    answer = await client.post(f"{session}/sequence/stream", content=WRONG_FILES[slug], headers={"content-type": NPY})
    assert answer.json()["type"] == f"urn:cellar:problem:{slug}"
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("cut", [-1, -5, 1])
async def test_files_that_are_cut_or_too_long(client: httpx.AsyncClient, cut: int) -> None:
    session, whole = await begin(client), file_of(INPUTS)
    body = whole[:cut] if cut < 0 else whole + b"!"
    found = await send(client, session, in_pieces(body, 100), NPY, chunk=16)
    assert found[-1]["type"] == "urn:cellar:problem:malformed_body"
    assert found[-1]["step"] == found[-1]["first"] == 32


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ({"commit": "some"}, {}, 422),
        ({"chunk": "0"}, {}, 422),
        ({"layout": "TF"}, {}, 422),
        ({"position": "x"}, {}, 422),
        ({"reset": "01"}, {}, 422),
        ({}, {"content-type": "application/json"}, 415),
        ({}, {"accept": "text/html"}, 406),
    ],
)
async def test_refused_requests(
    client: httpx.AsyncClient, query: dict[str, str], headers: dict[str, str], status: int
) -> None:
    path = f"{await begin(client)}/sequence/stream"
    answer = await client.post(path, content=lines_of(INPUTS), params=query, headers={"content-type": LINES, **headers})
    assert answer.status_code == status, answer.text


async def test_no_session_and_no_steps(client: httpx.AsyncClient) -> None:
    headers = {"content-type": LINES}
    assert (await client.post("/v1/sessions/none/sequence/stream", content=b"", headers=headers)).status_code == 404
    answer = await client.post(f"{await begin(client)}/sequence/stream", content=b"\n", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:cellar:problem:invalid_input")
