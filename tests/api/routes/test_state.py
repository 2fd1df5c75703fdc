"""States: read from one session and written to another, which then goes on as the first."""

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


@pytest.fixture(scope="module")
async def paths(client: httpx.AsyncClient) -> tuple[str, str]:
    """Return the paths of two sessions of two rows."""
    assert (await client.post("/v1/models", json={"name": "deep", "network": NETWORK})).status_code == 201
    for session in ("one", "other"):
        body = {"model": "deep", "session": session, "batch_size": 2}
        assert (await client.post("/v1/sessions", json=body)).status_code == 201
    return "/v1/sessions/one", "/v1/sessions/other"


async def step(client: httpx.AsyncClient, path: str) -> Any:
    """Return the output of a step that is always the same."""
    return (await client.post(f"{path}/step", json={"input": [[1], [-1]]})).json()["output"]


async def test_a_written_state_goes_on_as_the_one_that_was_read(
    client: httpx.AsyncClient, paths: tuple[str, str]
) -> None:
    one, other = paths
    await step(client, one)
    read = (await client.get(f"{one}/state")).json()
    assert [(layer["layer"], layer["cell"], {*layer} - {"layer", "cell"}) for layer in read["layers"]] == [
        (0, "lstm", {"h", "c"}),
        (2, "gru", {"h"}),
    ]
    written = await client.put(f"{other}/state", json={"layers": read["layers"]})
    assert written.json()["step"] == 0
    assert (await client.get(f"{other}/state")).json()["layers"] == read["layers"]
    assert await step(client, one) == await step(client, other)


async def test_a_reset_session_begins_as_a_new_one(client: httpx.AsyncClient, paths: tuple[str, str]) -> None:
    one, other = paths
    for path in paths:
        await client.post(f"{path}/reset")
    first = await step(client, one)
    assert first != await step(client, one)
    assert (await client.post(f"{one}/reset")).json()["step"] == 0
    assert first == await step(client, one) == await step(client, other)


async def test_a_change_at_another_position_is_refused(client: httpx.AsyncClient, paths: tuple[str, str]) -> None:
    one, _ = paths
    before = (await client.get(f"{one}/state")).json()
    await step(client, one)
    after = (await client.get(f"{one}/state")).json()
    for answer in (
        await client.post(f"{one}/reset", json={"position": before["position"]}),
        await client.put(f"{one}/state", json={"position": before["position"], "layers": before["layers"]}),
    ):
        assert answer.status_code == 409, answer.text
        assert answer.json()["position"] == after["position"]
    assert (await client.get(f"{one}/state")).json() == after
