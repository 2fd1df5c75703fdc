"""States: read from one session and written to another, which then goes on as the first."""

from typing import Any

import httpx
import numpy as np
import pytest

from cellar.wire.arrays import npy, tensors

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


async def test_a_state_that_was_read_in_any_form_is_written_in_any_form(
    client: httpx.AsyncClient, paths: tuple[str, str]
) -> None:
    one, other = paths
    await step(client, one)
    wanted, where = await state(client, one), (await client.get(one)).json()["position"]
    for kind in (tensors.MEDIA_TYPE, npy.MEDIA_TYPE):
        await client.post(f"{other}/reset")
        read = await client.get(f"{one}/state", headers={"accept": kind})
        assert (read.headers["content-type"], read.headers["cellar-position"]) == (kind, where)
        assert read.headers["cellar-step"] == where.split(".")[1]
        written = await client.put(f"{other}/state", content=read.content, headers={"content-type": kind})
        assert written.status_code == 200, written.text
        assert await state(client, other) == wanted
    layers = (await client.get(f"{one}/state")).json()["layers"]
    shown = [layer[name] for layer in layers for name in layer if name not in ("layer", "cell")]
    columns = np.concatenate([np.array(values, dtype=np.float32) for values in shown], axis=1)
    assert npy.load(read.content, axes=(2,)).tobytes() == columns.tobytes()


async def test_a_state_is_read_and_written_alone(client: httpx.AsyncClient, paths: tuple[str, str]) -> None:
    one, other = paths
    await step(client, one)
    wanted = await state(client, one)
    asked: tuple[tuple[dict[str, str], list[str]], ...] = (
        ({"layer": "0", "name": "c"}, ["0c"]),
        ({"name": "h"}, ["0h", "2h"]),
        ({"layer": "2"}, ["2h"]),
    )
    for query, names in asked:
        array = await client.get(f"{one}/state", params=query, headers={"accept": npy.MEDIA_TYPE})
        found = npy.load(array.content, axes=(2,))
        assert found.tolist() == np.concatenate([wanted[name] for name in names], axis=1).tolist()
        file = await client.get(f"{one}/state", params=query, headers={"accept": tensors.MEDIA_TYPE})
        assert [f"{layer}{name}" for layer, name in sorted(tensors.load(file.content))] == names
        layers = (await client.get(f"{one}/state", params=query)).json()["layers"]
        assert [f"{layer['layer']}{name}" for layer in layers for name in ("c", "h") if name in layer] == names

    before, position = await state(client, other), (await client.get(other)).json()["position"]
    array = await client.get(f"{one}/state", params={"layer": 0, "name": "c"}, headers={"accept": npy.MEDIA_TYPE})
    for replayed in (False, True):
        answer = await client.patch(
            f"{other}/state",
            params={"layer": 0, "name": "c", "position": position},
            content=array.content,
            headers={"content-type": npy.MEDIA_TYPE},
        )
        assert (answer.status_code, "idempotent-replayed" in answer.headers) == (200, replayed), answer.text
    assert await state(client, other) == before | {"0c": wanted["0c"]}


ARRAY = npy.dump(np.zeros((2, 2), dtype=np.float32))


@pytest.mark.parametrize(
    ("method", "query", "content", "status", "slug"),
    [
        ("PUT", "", ARRAY, 422, "shape_mismatch"),
        ("PUT", "", npy.dump(np.zeros((1, 7), dtype=np.float32)), 422, "shape_mismatch"),
        ("PUT", "?layer=0&name=c", ARRAY, 422, "invalid_parameter"),
        ("PUT", "?position=x", ARRAY, 422, "invalid_input"),
        ("PUT", "", b"no array", 400, "malformed_body"),
        ("PATCH", "", ARRAY, 422, "invalid_parameter"),
        ("PATCH", "?layer=0", ARRAY, 422, "invalid_parameter"),
        ("PATCH", "?layer=x&name=c", ARRAY, 422, "invalid_parameter"),
        ("PATCH", "?layer=0&name=c&name=h", ARRAY, 422, "invalid_parameter"),
        ("PATCH", "?layer=1&name=c", ARRAY, 422, "invalid_input"),
        ("PATCH", "?layer=2&name=h", ARRAY, 422, "shape_mismatch"),
        ("PATCH", "?layer=0&name=c", npy.dump(np.full((2, 2), np.nan, dtype=np.float32)), 422, "not_finite"),
    ],
)
async def test_arrays_that_are_no_state_are_refused(
    client: httpx.AsyncClient, paths: tuple[str, str], method: str, query: str, content: bytes, status: int, slug: str
) -> None:
    before = await state(client, paths[0])
    answer = await client.request(
        method, f"{paths[0]}/state{query}", content=content, headers={"content-type": npy.MEDIA_TYPE}
    )
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:cellar:problem:{slug}"), answer.text
    assert await state(client, paths[0]) == before


async def test_a_query_beside_json_is_refused(client: httpx.AsyncClient, paths: tuple[str, str]) -> None:
    answer = await client.put(f"{paths[0]}/state?position=x", json={"layers": []})
    assert answer.json()["type"] == "urn:cellar:problem:invalid_parameter"


async def test_what_is_not_there_or_not_offered_is_not_read(client: httpx.AsyncClient, paths: tuple[str, str]) -> None:
    for query, parameter in (("layer=1", "layer"), ("layer=0&name=x", "name"), ("layer=x", "layer")):
        answer = await client.get(f"{paths[0]}/state?{query}")
        assert (answer.status_code, answer.json()["parameter"]) == (422, parameter)
    refused = await client.get(f"{paths[0]}/state", headers={"accept": "text/html"})
    assert (refused.status_code, refused.json()["type"]) == (406, "urn:cellar:problem:not_acceptable")
