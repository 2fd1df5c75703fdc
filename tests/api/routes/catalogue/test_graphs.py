"""Graphs of ONNX over HTTP: published, stepped, changed, exported, and refused."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from cellar.wire.arrays import npy
from tests.onnx_graph.graphs import counter, loop, lstm, session, table

pytestmark = pytest.mark.anyio

FILE = {"Content-Type": "application/onnx"}
INPUTS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def direct(inputs: Any = INPUTS) -> tuple[Any, Any, Any]:
    """Return the outputs (T, 2) and the last states of the LSTM, run without Cellar."""
    runtime, outputs = session(lstm()), []
    h = c = np.zeros((1, 1, 4), np.float32)
    for step in inputs:
        y, h, c = runtime.run(None, {"x": step[None], "h0": h, "c0": c})
        outputs.append(y[0])
    return np.array(outputs), h, c


async def publish(client: httpx.AsyncClient, name: str, data: bytes, status: int = 201, **query: str) -> Any:
    """Publish a file and return the body of the answer."""
    answer = await client.put(f"/v1/models/{name}", content=data, headers=FILE, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


async def send(client: httpx.AsyncClient, path: str, body: Any, status: int = 200) -> Any:
    """Return the body of an answer."""
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def begin(client: httpx.AsyncClient, model: str, **options: Any) -> str:
    """Return the path of a new session."""
    answer = await client.post("/v1/sessions", json={"model": model, **options})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


@pytest.fixture(scope="module", autouse=True)
async def models(client: httpx.AsyncClient) -> None:
    """Publish the graphs that most tests step."""
    await publish(client, "graph", lstm(), engine="onnxruntime")
    await publish(client, "counter", counter())
    await publish(client, "table", table())


async def test_the_model_says_which_engine_runs_it(client: httpx.AsyncClient) -> None:
    model = (await client.get("/v1/models/graph")).json()
    assert (model["engine"], model["bits_promised"], model["network"]) == ("onnxruntime", False, None)
    assert model["engine_version"] == model["published_with"]
    assert (model["in_size"], model["out_size"], model["parameters"]) == (3, 2, [])
    assert model["state"] == [{"layer": 0, "name": "h0", "size": 4}, {"layer": 1, "name": "c0", "size": 4}]
    assert [(each["name"], each["output"], each["found"]) for each in model["graph"]["states"]] == [
        ("h0", "hn", "name"),
        ("c0", "cn", "name"),
    ]
    assert "counter@1" in [each["model"] for each in (await client.get("/v1/models")).json()["models"]]


async def test_every_wire_form_gives_the_bits_of_the_runtime(client: httpx.AsyncClient) -> None:
    outputs, h, c = direct()
    path = await begin(client, "graph")
    for step, output in zip(INPUTS[:2], outputs[:2], strict=True):
        assert (await send(client, f"{path}/step", {"input": step.tolist()}))["output"] == output.tolist()
    binary = {"Content-Type": npy.MEDIA_TYPE, "Accept": npy.MEDIA_TYPE}
    answer = await client.post(f"{path}/step", content=npy.dump(INPUTS[2]), headers=binary)
    assert npy.load(answer.content, axes=(1,)).tobytes() == outputs[2].tobytes()
    rest = await send(client, f"{path}/sequence", {"inputs": INPUTS[3:].tolist()})
    assert rest["outputs"] == outputs[3:].tolist()
    layers = (await client.get(f"{path}/state")).json()["layers"]
    assert layers == [
        {"layer": 0, "cell": "onnx.float32", "h0": h[0].tolist()},
        {"layer": 1, "cell": "onnx.float32", "c0": c[0].tolist()},
    ]


async def test_a_step_of_a_graph_happens_once(client: httpx.AsyncClient) -> None:
    path = await begin(client, "counter")
    first = await send(client, f"{path}/step", {"input": [3, 4], "step": 0})
    again = await client.post(f"{path}/step", json={"input": [3, 4], "step": 0})
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first, "true")
    assert (await send(client, f"{path}/step", {"input": [3, 5], "step": 0}, 409))["type"].endswith("step_taken")
    assert (await send(client, f"{path}/step", {"input": [1, 2], "step": 1}))["output"] == [16, 22]


async def test_a_session_of_a_graph_is_forked_rewound_and_restored(client: httpx.AsyncClient) -> None:
    path = await begin(client, "graph", history=16)
    positions = [(await send(client, f"{path}/step", {"input": step.tolist()}))["position"] for step in INPUTS[:4]]
    await client.put(f"{path}/snapshots/early", json={})
    (child,) = (await send(client, f"{path}/fork", {"count": 1}))["children"]
    outputs, _, _ = direct()
    step = {"input": INPUTS[4].tolist()}
    assert (await send(client, f"/v1/sessions/{child['session']}/step", step))["output"] == outputs[4].tolist()
    back = await client.post(f"{path}/rewind", json={"step": 2, "position": positions[-1]})
    assert back.status_code == 200, back.text
    assert (await send(client, f"{path}/step", {"input": INPUTS[2].tolist()}))["output"] == outputs[2].tolist()


async def test_rows_of_a_session_share_a_run(client: httpx.AsyncClient) -> None:
    path = await begin(client, "graph", batch_size=2)
    rows = [INPUTS[0].tolist(), INPUTS[3].tolist()]
    found = np.array((await send(client, f"{path}/step", {"input": rows}))["output"], np.float32)
    for row, x in zip(found, rows, strict=True):
        np.testing.assert_allclose(row, direct([np.array(x, np.float32)])[0][0], rtol=1e-6)


async def test_states_of_integers_are_read_and_written(client: httpx.AsyncClient) -> None:
    path = await begin(client, "counter")
    await send(client, f"{path}/step", {"input": [3, 4]})
    state = (await client.get(f"{path}/state")).json()["layers"]
    assert state[0]["n"] == [[3, 0, 0, 4, 0, 0]]
    assert state[1]["m"] == [[2**24 - 3, 255]]
    written = await client.put(f"{path}/state", json={"layers": state})
    assert written.status_code == 200, written.text
    assert (await client.get(f"{path}/state")).json()["layers"] == state
    state[0]["n"][0][1] = 0.5
    refused = await client.put(f"{path}/state", json={"layers": state})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:cellar:problem:invalid_input")


async def test_inputs_of_integers_are_checked(client: httpx.AsyncClient) -> None:
    path = await begin(client, "counter")
    for wrong in (0.5, 2**24, -(2**40)):
        answer = await send(client, f"{path}/step", {"input": [1, wrong]}, 422)
        assert (answer["type"], answer["pointer"]) == ("urn:cellar:problem:type_mismatch", "/input")


async def test_a_step_that_fails_is_refused_and_changes_nothing(client: httpx.AsyncClient) -> None:
    path = await begin(client, "table")
    await send(client, f"{path}/step", {"input": [1]})
    answer = await send(client, f"{path}/step", {"input": [7]}, 422)
    assert answer["type"] == "urn:cellar:problem:step_failed"
    assert (await send(client, f"{path}/step", {"input": [1]}))["output"] == [4, 6]


async def test_a_graph_of_layers_becomes_cells(client: httpx.AsyncClient) -> None:
    exported = (await client.post("/v1/models", json={"name": "cells", "network": NETWORK})).json()["model"]
    data = (await client.get(f"/v1/models/{exported}/export", params={"format": "onnx"})).content
    model = await publish(client, "again", data)
    assert (model["engine"], model["graph"], model["bits_promised"]) == ("cells", None, True)
    hosted = await publish(client, "again", data, engine="onnxruntime")
    assert (hosted["engine"], hosted["model"]) == ("onnxruntime", "again@2")
    assert (await publish(client, "refused", table(), 422, engine="cells"))["type"].endswith("import_refused")


NETWORK: dict[str, Any] = {"in_size": 3, "layers": [{"type": "recurrent", "cell": "lstm", "hidden_size": 4}]}


@pytest.mark.parametrize("form", ["form", "octets", "post"])
async def test_a_file_comes_in_every_form(client: httpx.AsyncClient, form: str) -> None:
    graph = json.dumps({"states": {"h0": "hn", "c0": "cn"}})
    if form == "form":
        files: Any = {"weights": ("m.onnx", lstm()), "graph": (None, graph), "engine": (None, "onnxruntime")}
        answer = await client.put("/v1/models/form", files=files)
    elif form == "octets":
        kind = {"Content-Type": "application/octet-stream"}
        answer = await client.put("/v1/models/octets", content=lstm(), headers=kind, params={"graph": graph})
    else:
        query = {"name": "post", "graph": graph}
        answer = await client.post("/v1/models", content=lstm(), headers=FILE, params=query)
    assert answer.status_code == 201, answer.text
    assert {each["found"] for each in answer.json()["graph"]["states"]} == {"declared"}


async def test_the_same_graph_again_is_the_same_version_and_goes_out_as_it_came(client: httpx.AsyncClient) -> None:
    assert (await publish(client, "graph", lstm(), 200, engine="onnxruntime"))["model"] == "graph@1"
    out = await client.get("/v1/models/graph/export", params={"format": "onnx"})
    assert out.content == lstm()
    for path in ("weights", "export"):
        refused = await client.get(f"/v1/models/graph/{path}")
        assert (refused.status_code, refused.json()["place"]) == (422, "graph@1")


async def test_outputs_are_compared_before_a_graph_is_published(client: httpx.AsyncClient) -> None:
    outputs, _, _ = direct()
    check = {"inputs": INPUTS.tolist(), "outputs": outputs.tolist()}
    files: Any = {"weights": lstm(), "engine": (None, "onnxruntime"), "check": (None, json.dumps(check))}
    answer = await client.put("/v1/models/checked", files=files)
    assert answer.json()["metrics"] == {"check_max_difference": 0}
    check["outputs"] = (outputs + 1).tolist()
    files["check"] = (None, json.dumps(check))
    refused = await client.put("/v1/models/unchecked", files=files)
    assert (refused.status_code, refused.json()["pointer"][:15]) == (422, "/check/outputs/")
    assert (await client.get("/v1/models/unchecked")).status_code == 404


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"graph": '{"states": {"nope": "hn"}}'}, "/graph/states"),
        ({"graph": '{"nope": 1}'}, "/graph/nope"),
        ({"graph": '{"shapes": {"x": [0]}}'}, "/graph/shapes/x/0"),
        ({"graph": "{}", "engine": "cells"}, "/graph"),
        ({"modules": "lstm"}, "/modules"),
    ],
)
async def test_options_that_do_not_fit_are_refused(client: httpx.AsyncClient, query: Any, pointer: str) -> None:
    answer = await publish(client, "never", lstm(), 422, **query)
    assert str(answer["pointer"]).startswith(pointer), answer
    assert (await client.get("/v1/models/never")).status_code == 404


async def test_options_of_a_graph_are_not_for_weights(client: httpx.AsyncClient) -> None:
    answer = await client.put(
        "/v1/models/never",
        content=b"\x08\0\0\0\0\0\0\0{}      ",
        headers={"Content-Type": "application/safetensors"},
        params={"engine": "onnxruntime"},
    )
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/engine")


@pytest.mark.parametrize("data", [b"", b"\x08", b"no model", lstm()[:200], b"\x08\x08" + b"\xff" * 100])
async def test_files_that_are_no_models_are_refused(client: httpx.AsyncClient, data: bytes) -> None:
    assert (await publish(client, "never", data, 422))["type"] == "urn:cellar:problem:import_refused"


async def test_a_graph_that_takes_too_long_is_refused(client: httpx.AsyncClient) -> None:
    answer = await publish(client, "never", loop(), 422, graph='{"states": {}, "example": {"count": 9999999}}')
    assert "ONNX Runtime does not run the graph" in answer["detail"]


async def test_a_graph_is_not_trained(client: httpx.AsyncClient) -> None:
    data = {"layout": "TF", "inputs": [[0, 0, 0]], "targets": [[0, 0]]}
    answer = await send(client, "/v1/jobs", {"model": "graph", "data": data}, 422)
    assert answer["type"] == "urn:cellar:problem:invalid_input"


async def test_sessions_of_a_deleted_graph_are_read(client: httpx.AsyncClient) -> None:
    await publish(client, "gone", lstm(seed=3), engine="onnxruntime")
    path = await begin(client, "gone")
    await send(client, f"{path}/step", {"input": INPUTS[0].tolist()})
    assert (await client.delete("/v1/models/gone")).status_code == 409
    assert (await client.delete("/v1/models/gone", params={"force": "true"})).status_code == 204
    assert (await send(client, f"{path}/step", {"input": INPUTS[0].tolist()}, 410))["type"].endswith("model_deleted")
    assert [layer["layer"] for layer in (await client.get(f"{path}/state")).json()["layers"]] == [0, 1]
    moved = await send(client, f"{path}/migrate", {"model": "graph"})
    assert moved["step"] == 0
    await send(client, f"{path}/step", {"input": INPUTS[0].tolist()})


async def test_without_the_extra_it_is_said_how_to_install_it(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellar.onnx_graph.runtime.find_spec", lambda _: None)
    answer = await publish(client, "never", table(), 422)
    assert answer["remedy"] == "pip install 'cellar-serve[onnx]'"
