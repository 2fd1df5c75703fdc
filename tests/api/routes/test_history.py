"""A session's past over HTTP, on a real network of several layers."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

NETWORK = {
    "in_size": 1,
    "layers": [
        {"type": "recurrent", "cell": "lstm", "hidden_size": 2},
        {"type": "dense", "out_size": 2},
        {"type": "recurrent", "cell": "gru", "hidden_size": 3, "trainable_state": True},
    ],
}
INPUTS = [[[1.0], [-1.0]], [[0.5], [2.0]], [[-3.0], [0.25]], [[1.5], [1.0]]]
"""Four steps of two rows."""


async def begin(client: httpx.AsyncClient, session: str, **options: int) -> str:
    """Create a session of two rows and return its path."""
    await client.post("/v1/models", json={"name": "deep", "network": NETWORK})
    body = {"model": "deep", "session": session, "batch_size": 2, **options}
    assert (await client.post("/v1/sessions", json=body)).status_code == 201
    return f"/v1/sessions/{session}"


async def send(client: httpx.AsyncClient, path: str, body: Any) -> Any:
    """Return the body of an answer that is no error."""
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def layers(client: httpx.AsyncClient, path: str) -> Any:
    """Return the state."""
    return (await client.get(f"{path}/state")).json()["layers"]


async def test_steps_that_are_run_again_make_the_same_bits(client: httpx.AsyncClient) -> None:
    """A rewind by log, into a sequence whose rows began anew, is the state that single steps have made."""
    plain, logged = await begin(client, "plain"), await begin(client, "logged", log=100)
    await send(client, f"{plain}/sequence", {"inputs": INPUTS[:1]})
    await send(client, f"{plain}/step", {"input": INPUTS[1], "reset": [False, True]})
    await send(client, f"{logged}/step", {"input": INPUTS[0]})
    await send(client, f"{logged}/sequence", {"inputs": INPUTS[1:], "reset": [False, True]})
    assert await layers(client, plain) != await layers(client, logged)
    answer = await send(client, f"{logged}/rewind", {"step": 2})
    assert answer["step"] == 0
    assert await layers(client, plain) == await layers(client, logged)


async def test_the_log_tells_inputs_and_rows(client: httpx.AsyncClient) -> None:
    path = await begin(client, "told", log=100)
    answer = await send(client, f"{path}/sequence", {"inputs": INPUTS, "reset": [True, False]})
    await send(client, f"{path}/reset", {"rows": [1]})
    log = (await client.get(f"{path}/log")).json()
    assert log["after"] is None
    assert [entry["kind"] for entry in log["entries"]] == ["create", "sequence", "reset"]
    _, sequence, reset = log["entries"]
    assert (sequence["inputs"], sequence["reset"], sequence["position"]) == (INPUTS, [True, False], answer["position"])
    assert (reset["inputs"], reset["reset"], reset["step"]) == (None, [False, True], 0)


async def test_a_rewind_compares_the_position(client: httpx.AsyncClient) -> None:
    path = await begin(client, "compared", history=3)
    one = await send(client, f"{path}/step", {"input": INPUTS[0]})
    two = await send(client, f"{path}/step", {"input": INPUTS[1]})
    body = {"to": one["position"], "position": one["position"]}
    refused = await client.post(f"{path}/rewind", json=body)
    assert (refused.status_code, refused.json()["position"]) == (409, two["position"])
    body["position"] = two["position"]
    first = await send(client, f"{path}/rewind", body)
    again = await client.post(f"{path}/rewind", json=body)
    assert (again.json(), again.headers["idempotent-replayed"]) == (first, "true")
