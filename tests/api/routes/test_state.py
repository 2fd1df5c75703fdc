"""States: read from one session and written to another, which then goes on as the first."""

from typing import Any

import httpx
import numpy as np
import pytest

from cellar.wire import tensors

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


async def state(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """Return the states by name and layer."""
    layers = (await client.get(f"{path}/state")).json()["layers"]
    return {f"{layer['layer']}{name}": layer[name] for layer in layers for name in ("h", "c") if name in layer}


async def test_rows_are_reset_by_number_or_mask(client: httpx.AsyncClient, paths: tuple[str, str]) -> None:
    one, other = paths
    for path in paths:
        await client.post(f"{path}/reset")
    fresh = await state(client, one)
    for path, rows in ((one, [1]), (other, [False, True])):
        await step(client, path)
        before = await state(client, path)
        assert (await client.post(f"{path}/reset", json={"rows": rows})).json()["step"] == 0
        assert await state(client, path) == {name: [before[name][0], fresh[name][1]] for name in fresh}


async def test_some_states_are_written(client: httpx.AsyncClient, paths: tuple[str, str]) -> None:
    one, _ = paths
    await step(client, one)
    before = await state(client, one)
    position = (await client.get(one)).json()["position"]
    body = {"position": position, "layers": [{"layer": 0, "c": [[1, 2], [3, 4]]}]}
    first, again = [await client.patch(f"{one}/state", json=body) for _ in range(2)]
    assert first.json() == again.json()
    assert "idempotent-replayed" in again.headers
    assert await state(client, one) == before | {"0c": [[1.0, 2.0], [3.0, 4.0]]}


async def test_states_are_written_as_safetensors(client: httpx.AsyncClient, paths: tuple[str, str]) -> None:
    one, other = paths
    await step(client, one)
    wanted = await state(client, one)
    parts = {(int(name[0]), name[1]): np.array(values, dtype=np.float32) for name, values in wanted.items()}
    headers = {"content-type": tensors.MEDIA_TYPE}
    answer = await client.put(f"{other}/state", content=tensors.dump(parts, {}), headers=headers)
    assert answer.json()["step"] == 0, answer.text
    assert await state(client, other) == wanted
    position = answer.json()["position"]
    some = tensors.dump({(2, "h"): np.ones((2, 3), dtype=np.float32)}, {})
    for replayed in (False, True):
        answer = await client.patch(f"{other}/state", params={"position": position}, content=some, headers=headers)
        assert (answer.status_code, "idempotent-replayed" in answer.headers) == (200, replayed), answer.text
    assert await state(client, other) == wanted | {"2h": [[1.0] * 3] * 2}


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"{}", 400, "malformed_body"),
        (tensors.dump({}, {"of": "nothing"}), 422, "invalid_input"),
        (tensors.dump({(0, "h"): np.zeros((2, 2), dtype=np.float32)}, {}), 422, "invalid_input"),
        (tensors.dump({(9, "h"): np.zeros((2, 2), dtype=np.float32)}, {}), 422, "invalid_input"),
    ],
)
async def test_safetensors_that_are_no_whole_state_are_refused(
    client: httpx.AsyncClient, paths: tuple[str, str], content: bytes, status: int, slug: str
) -> None:
    before = await state(client, paths[0])
    answer = await client.put(f"{paths[0]}/state", content=content, headers={"content-type": tensors.MEDIA_TYPE})
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:cellar:problem:{slug}")
    assert answer.json().get("pointer", "") == ""
    assert await state(client, paths[0]) == before
