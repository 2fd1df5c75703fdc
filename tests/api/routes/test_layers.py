"""Layers that hold others, drop out, normalise, look ids up or read from both ends: from the model to the answer."""

from typing import Any

import httpx
import numpy as np
import pytest

from cellar.nn.model.spec import MAX_NESTING
from tests.nn.golden.cases import (
    LAYER_NORM,
    bidirectional,
    dense,
    dropout,
    embedding,
    nest,
    network,
    recurrent,
    residual,
)
from tests.nn.nested import Nested
from tests.nn.oracle import make_network

pytestmark = pytest.mark.anyio

TAGGER = network(1, embedding(5, 4), residual(LAYER_NORM, bidirectional("rnn", 2), dropout(0.25)), dense(2))
STREAM = network(1, embedding(5, 4), residual(dropout(0.5), recurrent("rnn", 4)), dense(2))
IDS = [[0], [4], [2], [2]]


@pytest.fixture(scope="module", autouse=True)
async def models(client: httpx.AsyncClient) -> dict[str, Any]:
    """Create a model that reads from both ends, and one that does not."""
    found = {}
    for name, spec in (("tagger", TAGGER), ("stream", STREAM)):
        answer = await client.post("/v1/models", json={"name": name, "network": spec, "seed": 3})
        assert answer.status_code == 201, answer.text
        found[name] = answer.json()
    return found


async def begin(client: httpx.AsyncClient, model: str, rows: int = 1) -> str:
    """Return the path of a new session."""
    answer = await client.post("/v1/sessions", json={"model": model, "batch_size": rows})
    return str(answer.headers["location"])


def expected(spec: dict[str, Any], ids: list[list[int]]) -> Any:
    """Return what the network answers to one row."""
    built = make_network(spec)
    inputs = np.array(ids, np.float64)[:, None]
    return Nested(built.spec.model_dump(), built.init(3), np.array([len(ids)])).outputs(inputs)[:, 0]


async def test_models_tell_what_they_take(models: dict[str, Any]) -> None:
    assert (models["tagger"]["whole_sequences"], models["stream"]["whole_sequences"]) == (True, False)
    assert models["tagger"]["state"] == []
    assert models["stream"]["state"] == [{"layer": 2, "name": "h", "size": 4}]
    assert {"name": "2.reverse.Wi", "shape": [2, 4]} in models["tagger"]["parameters"]


async def test_a_sequence_is_whole_whatever_came_before_it(client: httpx.AsyncClient) -> None:
    path = await begin(client, "tagger")
    first = (await client.post(f"{path}/sequence", json={"inputs": IDS})).json()
    np.testing.assert_allclose(first["outputs"], expected(TAGGER, IDS), atol=1e-5)
    again = (await client.post(f"{path}/sequence", json={"inputs": IDS, "position": first["position"]})).json()
    assert (again["outputs"], again["step"]) == (first["outputs"], 8)
    assert (await client.get(f"{path}/state")).json()["layers"] == []
    assert (await client.post(f"{path}/reset")).json()["step"] == 0


async def test_steps_of_whole_sequences_are_refused(client: httpx.AsyncClient) -> None:
    path = await begin(client, "tagger")
    answer = await client.post(f"{path}/step", json={"input": [0]})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/input")
    assert answer.json()["type"] == "urn:cellar:problem:whole_sequences_only"
    assert "both ends" in answer.json()["detail"]
    assert "/sequence" in answer.json()["detail"]
    assert (await client.get(path)).json()["step"] == 0


async def test_steps_of_a_stream_are_its_sequence(client: httpx.AsyncClient) -> None:
    path = await begin(client, "stream")
    outputs = [(await client.post(f"{path}/step", json={"input": ids})).json()["output"] for ids in IDS]
    np.testing.assert_allclose(outputs, expected(STREAM, IDS), atol=1e-5)
    state = (await client.get(f"{path}/state")).json()["layers"]
    assert [(layer["layer"], layer["cell"]) for layer in state] == [(2, "rnn")]
    other = await begin(client, "stream")
    assert (await client.post(f"{other}/sequence", json={"inputs": IDS})).json()["outputs"] == outputs
    assert (await client.put(f"{other}/state", json={"layers": state})).status_code == 200


@pytest.mark.parametrize("fault", [5, -1, 1.5])
async def test_numbers_that_are_no_ids_are_refused(fault: float, client: httpx.AsyncClient) -> None:
    path = await begin(client, "stream", rows=2)
    for route, body, pointer in (
        ("step", {"input": [[1], [fault]]}, "/input"),
        ("sequence", {"inputs": [[[1], [fault]], [[2], [0]]], "layout": "TBF"}, "/inputs"),
    ):
        answer = await client.post(f"{path}/{route}", json=body)
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (422, "urn:cellar:problem:id_unknown")
        assert (problem["pointer"], problem["expected"]) == (pointer, "a whole number from 0 to 4")
        assert problem["actual"] == str(fault)
        assert "step 0, row 1" in problem["detail"]
    assert (await client.get(path)).json()["step"] == 0


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"state": "carry"}, "/state"),
        ({"warmup": 1}, "/warmup"),
        ({"recompute": 2}, "/recompute"),
        ({"inputs": [[[0], [5], [1], [2]]]}, "/data/inputs"),
    ],
)
async def test_jobs_that_do_not_fit_are_refused(
    fields: dict[str, Any], pointer: str, client: httpx.AsyncClient
) -> None:
    data = {"layout": "BTF", "inputs": fields.pop("inputs", [IDS]), "targets": [[[0], [1], [0], [1]]]}
    answer = await client.post("/v1/jobs", json={"model": "tagger", "loss": "cross_entropy", "data": data, **fields})
    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    ("layer", "pointer"),
    [
        ({"type": "conv"}, "/network/layers/0/layers/0/type"),
        ({"type": "dropout", "rate": 1}, "/network/layers/0/layers/0/rate"),
        ({"type": "bidirectional", "layer": dense(2)}, "/network/layers/0/layers/0/layer/type"),
        (bidirectional("lstm", 0), "/network/layers/0/layers/0/layer/hidden_size"),
        (dense(3), "/network/layers/0/layers"),
        (residual(), "/network/layers/0/layers/0/layers"),
        (recurrent({"equations": "cell = x + cell"}, 2), "/network/layers/0/layers/0/cell/equations"),
    ],
)
async def test_faults_inside_of_layers_are_located(
    layer: dict[str, Any], pointer: str, client: httpx.AsyncClient
) -> None:
    body = {"name": "faulty", "network": network(2, residual(layer))}
    answer = await client.post("/v1/models", json=body)
    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer), answer.text


@pytest.mark.parametrize(
    ("layer", "pointer"),
    [
        (nest(dense(0), MAX_NESTING), "/network/layers/0" + "/layers/0" * MAX_NESTING + "/out_size"),
        (nest(dense(2), MAX_NESTING + 1), "/network/layers"),
        (nest(dense(2), 300), "/network/layers"),
    ],
)
async def test_faults_are_found_however_deep(layer: dict[str, Any], pointer: str, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/models", json={"name": "deep", "network": network(2, layer)})
    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer), answer.text


async def test_a_cell_that_takes_too_much_to_compile_is_refused_at_its_layer(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellar.engine.backend.compile_pool.MEMORY_LIMIT_BYTES", 64 << 20)  # too little for any
    cell = {"equations": "h = 0.37 * h + 0.62 * x - 0.21 * h * x"}
    layers = [{"type": "dense", "out_size": 2}, {"type": "recurrent", "cell": cell, "hidden_size": 2}]
    answer = await client.post("/v1/models", json={"name": "heavy", "network": {"in_size": 2, "layers": layers}})
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert told["type"].endswith(":cell_limit")
    assert told["pointer"] == "/network/layers/1/cell/equations"
    assert "64 MiB" in told["detail"]
    assert (await client.get("/v1/models/heavy")).status_code == 404


async def test_the_largest_cell_is_a_model(client: httpx.AsyncClient) -> None:
    lines = ["a0 = layernorm(x)", *(f"a{i} = layernorm(a{i - 1})" for i in range(1, 57)), "h = 0.5 * h + a56"]
    layers = [{"type": "recurrent", "cell": {"equations": "\n".join(lines)}, "hidden_size": 4}]
    answer = await client.post("/v1/models", json={"name": "norms", "network": {"in_size": 4, "layers": layers}})
    assert answer.status_code == 201, answer.text
    session = await begin(client, "norms")
    step = (await client.post(f"{session}/step", json={"input": [1, -1, 0.5, 0]})).json()
    assert np.isfinite(step["output"]).all()
