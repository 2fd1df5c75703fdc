"""Other versions for a session, over HTTP and on real networks."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

pytestmark = pytest.mark.anyio

LAYERS: list[dict[str, Any]] = [
    {"type": "recurrent", "cell": "lstm", "hidden_size": 2},
    {"type": "recurrent", "cell": "gru", "hidden_size": 3, "trainable_state": True},
]
INPUTS = [[[1.0], [-1.0]], [[0.5], [2.0]], [[-3.0], [0.25]], [[1.5], [1.0]]]
"""Four steps of two rows."""


@pytest.fixture(scope="module")
async def models(client: httpx.AsyncClient) -> None:
    """Make models: `one` and `two` with the same states, `wide` with others, `more` with another input."""
    for name, seed, in_size, layers in (
        ("one", 1, 1, LAYERS),
        ("two", 2, 1, LAYERS),
        ("wide", 3, 1, [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]),
        ("more", 4, 2, LAYERS),
    ):
        body = {"name": name, "network": {"in_size": in_size, "layers": layers}, "seed": seed}
        assert (await client.post("/v1/models", json=body)).status_code == 201


async def begin(client: httpx.AsyncClient, session: str, model: str, **options: int) -> str:
    """Create a session of two rows and return its path."""
    body = {"model": model, "session": session, "batch_size": 2, **options}
    assert (await client.post("/v1/sessions", json=body)).status_code == 201
    return f"/v1/sessions/{session}"


async def send(client: httpx.AsyncClient, path: str, body: Any, status: int = 200) -> Any:
    """Return the body of an answer."""
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def layers(client: httpx.AsyncClient, path: str) -> Any:
    """Return the state."""
    return (await client.get(f"{path}/state")).json()["layers"]


@pytest.mark.usefixtures("models")
async def test_a_replay_is_what_the_other_version_would_have_done(client: httpx.AsyncClient) -> None:
    logged, other = await begin(client, "logged", "one", log=100), await begin(client, "other", "wide")
    for path in (logged, other):
        await send(client, f"{path}/step", {"input": INPUTS[0]})
        await send(client, f"{path}/sequence", {"inputs": INPUTS[1:], "reset": [False, True]})
    made = await send(client, f"{logged}/replay", {"model": "wide", "session": "replayed"}, 201)
    assert (made["session"], made["steps"], made["differences"]) == ("replayed", 4, None)
    assert await layers(client, "/v1/sessions/replayed") == await layers(client, other)
    position = (await client.get(logged)).json()["position"]
    await send(client, f"{logged}/migrate", {"model": "wide", "position": position})
    assert await layers(client, logged) == await layers(client, other)
    assert (await client.get(logged)).json()["model"] == "wide@1"
    outputs = [(await send(client, f"{path}/step", {"input": INPUTS[0]}))["output"] for path in (logged, other)]
    assert outputs[0] == outputs[1]


@pytest.mark.usefixtures("models")
async def test_differences_are_those_of_the_outputs(client: httpx.AsyncClient) -> None:
    path, other = await begin(client, "mine", "one", log=100), await begin(client, "theirs", "two")
    outputs = [(await send(client, f"{each}/sequence", {"inputs": INPUTS}))["outputs"] for each in (path, other)]
    same = (await send(client, f"{path}/replay", {"model": "one"}))["differences"]
    assert (same["steps"], same["largest"], same["mean"]) == (4, 0.0, 0.0)
    found = (await send(client, f"{path}/replay", {"model": "two"}))["differences"]
    pairs = [zip(*rows, strict=True) for steps in zip(*outputs, strict=True) for rows in zip(*steps, strict=True)]
    apart = [abs(one - two) for pair in pairs for one, two in pair]
    assert found["largest"] == max(apart) == found["last"][-1]["largest"]
    assert found["mean"] == pytest.approx(sum(apart) / len(apart))


@pytest.mark.usefixtures("models")
async def test_what_does_not_fit_is_refused_with_the_reason(client: httpx.AsyncClient) -> None:
    path = await begin(client, "refused", "one")
    await send(client, f"{path}/step", {"input": INPUTS[0]})
    before = (await client.get(path)).json()
    refused = await send(client, f"{path}/migrate", {"model": "wide", "how": "carry"}, 409)
    assert refused["type"] == "urn:cellar:problem:model_unfit"
    assert (refused["expected"], refused["actual"]) == ("0.c:2,0.h:2,1.h:3", "0.h:3")
    refused = await send(client, f"{path}/migrate", {"model": "more"}, 409)
    assert (refused["expected"], refused["actual"]) == ("1", "2")
    assert (await send(client, f"{path}/migrate", {"model": "wide", "how": "replay"}, 409))["type"].endswith("not_kept")
    assert (await send(client, f"{path}/replay", {"model": "wide"}, 409))["type"].endswith("not_kept")
    assert (await send(client, f"{path}/migrate", {"model": "nothing"}, 404))["type"].endswith("model_unknown")
    assert {**(await client.get(path)).json(), "expires": 0} == {**before, "expires": 0}


@pytest.mark.usefixtures("models")
async def test_a_shadow_follows_by_itself(client: httpx.AsyncClient) -> None:
    path = await begin(client, "watched", "one", log=100)
    began = await client.put(f"{path}/shadow", json={"model": "two"})
    assert (began.status_code, began.json()["behind"]) == (200, 0)
    outputs = (await send(client, f"{path}/sequence", {"inputs": INPUTS}))["outputs"]
    other = await begin(client, "unwatched", "two")
    others = (await send(client, f"{other}/sequence", {"inputs": INPUTS}))["outputs"]
    async with asyncio.timeout(30):
        while (found := (await client.get(f"{path}/shadow")).json())["behind"]:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.05)  # between two looks: there is no event
    apart = np.abs(np.array(outputs) - np.array(others))
    assert (found["model"], found["steps"], found["missed"], found["stopped"]) == ("two@1", 4, 0, None)
    assert (found["largest"], found["mean"]) == (apart.max(), pytest.approx(apart.mean()))
    assert found["position"] == found["last"][-1]["position"] == (await client.get(path)).json()["position"]
    assert (await client.delete(f"{path}/shadow")).status_code == 204
    assert (await client.get(f"{path}/shadow")).status_code == 404
