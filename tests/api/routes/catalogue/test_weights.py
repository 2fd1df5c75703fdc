"""Weights in and out over HTTP: every form of a body, what is refused of it, and the same bits again."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load, save

from cellar.interchange.onnx import import_onnx
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.wire.arrays.weights import dump

pytestmark = pytest.mark.anyio

NETWORK: dict[str, Any] = {
    "in_size": 3,
    "layers": [{"type": "recurrent", "cell": "lstm", "hidden_size": 4}, {"type": "dense", "out_size": 2}],
}
SPEC = NetworkSpec.model_validate_json(json.dumps(NETWORK))
WEIGHTS = Network(SPEC).init(7)
FILE = {"Content-Type": "application/safetensors"}


def inline(weights: dict[str, Any] = WEIGHTS) -> dict[str, Any]:
    """Return weights as JSON has them."""
    return {name: array.tolist() for name, array in weights.items()}


def file_of(weights: dict[str, Any] = WEIGHTS, **about: str) -> bytes:
    """Return weights as a file that says its network."""
    return save(weights, {"network": json.dumps(NETWORK), **about})


async def weights_of(client: httpx.AsyncClient, model: str, **query: str) -> dict[str, Any]:
    """Return the weights of a version."""
    answer = await client.get(f"/v1/models/{model}/weights", params=query)
    assert answer.status_code == 200, answer.text
    return dict(load(answer.content))


def same_bits(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Return whether these are the same tensors, bit for bit."""
    return {n: (a.shape, a.tobytes()) for n, a in found.items()} == {
        n: (a.shape, a.tobytes()) for n, a in expected.items()
    }


@pytest.mark.parametrize("form", ["json", "file", "octets", "form"])
async def test_weights_come_in_every_form_and_go_out_as_the_same_bits(client: httpx.AsyncClient, form: str) -> None:
    path = f"/v1/models/in-{form}"
    if form == "json":
        answer = await client.put(path, json={"network": NETWORK, "weights": inline()})
    elif form == "form":
        files: Any = {"weights": ("w.safetensors", dump(WEIGHTS)), "network": (None, json.dumps(NETWORK))}
        answer = await client.put(path, files=files)
    else:
        kind = FILE if form == "file" else {"Content-Type": "application/octet-stream"}
        answer = await client.put(path, content=file_of(), headers=kind)
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/models/in-{form}@1"), answer.text
    assert same_bits(await weights_of(client, f"in-{form}@1"), WEIGHTS)


async def test_a_file_larger_than_a_body_is_taken(client: httpx.AsyncClient) -> None:
    network = {"in_size": 64, "layers": [{"type": "recurrent", "cell": "lstm", "hidden_size": 200}]}
    weights = Network(NetworkSpec.model_validate_json(json.dumps(network))).init(1)
    assert len(dump(weights)) > 3 * 256 * 1024
    files: Any = {"weights": dump(weights), "network": (None, json.dumps(network)), "name": (None, "large")}
    answer = await client.post("/v1/models", files=files)
    assert answer.status_code == 201, answer.text
    assert same_bits(await weights_of(client, "large"), weights)


async def test_a_name_that_is_taken_gets_its_next_version_with_another_network_too(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/models", json={"name": "next", "network": NETWORK})
    assert first.json()["model"] == "next@1"
    other = {"in_size": 1, "layers": [{"type": "dense", "out_size": 1}]}
    body = {"network": other, "weights": {"0.W": [[2]], "0.b": [1]}}
    second = await client.put("/v1/models/next", json=body)
    assert (second.status_code, second.json()["model"], second.json()["in_size"]) == (201, "next@2", 1)
    again = await client.put("/v1/models/next", json=body)
    assert (again.status_code, again.headers["idempotent-replayed"], again.json()["model"]) == (200, "true", "next@2")
    third = await client.post("/v1/models", json={"name": "next", "network": NETWORK, "weights": inline()})
    assert (third.status_code, third.json()["model"]) == (201, "next@3")
    seeded = await client.put("/v1/models/next", json={"network": NETWORK, "seed": 3})
    assert (seeded.status_code, seeded.json()["model"]) == (201, "next@4")


async def test_exports_go_in_again_as_the_same_version(client: httpx.AsyncClient) -> None:
    made = await client.put("/v1/models/out", content=file_of(), headers=FILE)
    for form in ("safetensors", "torch", "json", "onnx"):
        answer = await client.get("/v1/models/out/export", params={"format": form})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"].startswith('attachment; filename="out-1.')
        if form == "onnx":
            file = import_onnx(answer.content).file()
            again = await client.put("/v1/models/out-onnx", content=file, headers=FILE)
        elif form == "json":
            again = await client.post("/v1/models", json={**answer.json(), "name": "out-json"})
        else:
            again = await client.put(f"/v1/models/out-{form}", content=answer.content, headers=FILE)
        assert again.status_code == 201, again.text
        assert again.json()["digest"] == made.json()["digest"]


async def test_weights_as_torch_stacks_them(client: httpx.AsyncClient) -> None:
    await client.put("/v1/models/stacked", content=file_of(), headers=FILE)
    found = await weights_of(client, "stacked", names="torch")
    assert {name: array.shape for name, array in found.items()} == {
        "0.weight_ih_l0": (16, 3),
        "0.weight_hh_l0": (16, 4),
        "0.bias_ih_l0": (16,),
        "0.bias_hh_l0": (16,),
        "1.weight": (2, 4),
        "1.bias": (2,),
    }
    gates = [WEIGHTS[f"0.Wi_{gate}"] for gate in "ifgo"]
    assert found["0.weight_ih_l0"].tobytes() == np.concatenate(gates).tobytes()
    answer = await client.get("/v1/models/stacked/weights", headers={"Accept": "application/json"})
    assert answer.json()["weights"] == inline()


async def test_a_state_dict_keeps_the_names_it_came_with(client: httpx.AsyncClient) -> None:
    found = state_dict()
    answer = await client.put("/v1/models/kept", content=save(found), headers=FILE)
    assert answer.status_code == 201, answer.text
    assert [layer["type"] for layer in answer.json()["network"]["layers"]] == ["recurrent", "dense"]
    again = await weights_of(client, "kept", names="torch")
    assert again.keys() == found.keys()
    assert again["head.weight"].tobytes() == found["head.weight"].tobytes()
    assert again["lstm.weight_hh_l0"].tobytes() == found["lstm.weight_hh_l0"].tobytes()
    once_more = await client.put("/v1/models/kept", content=save(again), headers=FILE)
    assert (once_more.status_code, once_more.json()["model"]) == (200, "kept@1")


def state_dict() -> dict[str, Any]:
    """Return what PyTorch has of an LSTM and a Linear layer behind it."""
    rng = np.random.default_rng(0)
    shapes = {"lstm.weight_ih_l0": (16, 3), "lstm.weight_hh_l0": (16, 4), "head.weight": (2, 4), "head.bias": (2,)}
    shapes |= {"lstm.bias_ih_l0": (16,), "lstm.bias_hh_l0": (16,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


async def test_modules_are_named_where_the_tensors_do_not_tell(client: httpx.AsyncClient) -> None:
    tensors = {**state_dict(), "value.weight": np.zeros((1, 4), np.float32), "value.bias": np.zeros(1, np.float32)}
    unsure = await client.put("/v1/models/named", content=save(tensors), headers=FILE)
    assert (unsure.status_code, unsure.json()["pointer"]) == (422, "/modules"), unsure.text
    assert "send `modules`" in unsure.json()["remedy"]
    query = {"modules": "lstm,elu,head,tanh", "ignore": "value"}
    answer = await client.put("/v1/models/named", params=query, content=save(tensors), headers=FILE)
    assert answer.status_code == 201, answer.text
    assert answer.json()["network"]["layers"][2]["activation"] == "tanh"


async def test_a_check_is_made_before_anything_is_published(client: httpx.AsyncClient) -> None:
    inputs = [[1, 0, 2], [0.5, 0, 0]]
    made = await client.put("/v1/models/probe", json={"network": NETWORK, "weights": inline()})
    assert made.status_code == 201
    await client.post("/v1/sessions", json={"session": "probe", "model": "probe"})
    outputs = (await client.post("/v1/sessions/probe/sequence", json={"inputs": inputs})).json()["outputs"]
    outputs[1][0] += 1e-6
    body = {"network": NETWORK, "weights": inline(), "check": {"inputs": inputs, "outputs": outputs}}
    checked = await client.put("/v1/models/checked", json=body)
    assert checked.status_code == 201, checked.text
    assert 0 < checked.json()["metrics"]["check_max_difference"] < 2e-6
    assert (await client.get("/v1/models/checked")).json()["metrics"] == checked.json()["metrics"]
    outputs[1][1] += 0.5
    refused = await client.put("/v1/models/unchecked", json=body)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/check/outputs/1"), refused.text
    assert (await client.get("/v1/models/unchecked")).status_code == 404
    loose = await client.put("/v1/models/loose", json={**body, "check": {**body["check"], "tolerance": 1}})
    assert loose.status_code == 201


async def test_a_check_comes_as_tensors_too(client: httpx.AsyncClient) -> None:
    inputs = np.ones((2, 3), np.float32)
    tensors = {**WEIGHTS, "check.inputs": inputs, "check.outputs": np.ones((2, 2), np.float32)}
    refused = await client.put("/v1/models/tensors", content=file_of(tensors), headers=FILE)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/check/outputs/1"), refused.text
    taken = await client.put("/v1/models/tensors?tolerance=9", content=file_of(tensors), headers=FILE)
    assert taken.status_code == 201, taken.text


FAULTS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"0.b_i": None}, "/weights/0.b_i", "[4]", "no such tensor"),
    ({"more": np.ones(1, np.float32)}, "/weights/more", "0.Wi_i, ", "more"),
    ({"1.W": np.ones((4, 2), np.float32)}, "/weights/1.W", "[2, 4]", "[4, 2]"),
    ({"1.b": np.array([1, np.nan], np.float32)}, "/weights/1.b", "finite", "nan at [1]"),
    ({"1.b": np.array([1, 1e39])}, "/weights/1.b", "finite", "inf at [1]"),
    ({"1.b": np.array([1, 2])}, "/weights/1.b", "F64, F32, F16, BF16", "I64"),
]


@pytest.mark.parametrize(("change", "pointer", "expected", "actual"), FAULTS)
async def test_the_tensor_at_fault_is_named_and_nothing_is_published(
    client: httpx.AsyncClient, change: dict[str, Any], pointer: str, expected: str, actual: str
) -> None:
    tensors = {name: array for name, array in {**WEIGHTS, **change}.items() if array is not None}
    answer = await client.put("/v1/models/bad", content=file_of(tensors), headers=FILE)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:cellar:problem:import_refused")
    assert (answer.json()["pointer"], answer.json()["actual"]) == (pointer, actual)
    assert answer.json()["expected"].startswith(expected)
    assert (await client.get("/v1/models/bad")).status_code == 404


async def test_inline_weights_are_checked_alike(client: httpx.AsyncClient) -> None:
    for change, pointer in (
        ({"1.b": [1]}, "/weights/1.b"),
        ({"1.b": [1, "x"]}, "/weights/1.b/1"),
        ({"1.W": [[1, 2, 3, 4], [1]]}, "/weights/1.W/1"),
        ({"x": [1]}, "/weights/x"),
    ):
        answer = await client.put("/v1/models/bad", json={"network": NETWORK, "weights": inline() | change})
        assert (answer.status_code, answer.json()["pointer"]) == (422, pointer), answer.text


PICKLES = [b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(26) + b"model/data.pkl"]


@pytest.mark.parametrize("data", PICKLES)
async def test_a_pickle_is_refused_with_the_line_that_converts_it(client: httpx.AsyncClient, data: bytes) -> None:
    answer = await client.put("/v1/models/bad", content=data, headers=FILE)
    assert answer.status_code == 422
    assert "weights_only=True" in answer.json()["remedy"]
    assert "cellar import" in answer.json()["remedy"]


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 400), ((2 << 30).to_bytes(8, "little") + b"{}", 400), (file_of()[:-1], 400), (b"\x89HDF\r\n\x1a\n", 422)],
)
async def test_a_damaged_file_is_refused(client: httpx.AsyncClient, data: bytes, status: int) -> None:
    answer = await client.put("/v1/models/bad", content=data, headers=FILE)
    assert answer.status_code == status, answer.text
    assert (await client.get("/v1/models/bad")).status_code == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"--b\r\n", "ends in the middle"),
        (b"no boundary", "not a multipart body"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "a name of its own"),
        (b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nx\r\n--b--\r\n', "not known"),
        (b'--b\r\nContent-Disposition: form-data; name="network"\r\n\r\n{}\r\n--b--\r\n', "no weights"),
    ],
)
async def test_a_damaged_form_is_refused(client: httpx.AsyncClient, body: bytes, said: str) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await client.put("/v1/models/bad", content=body, headers=kind)
    assert answer.status_code in (400, 422)
    assert said in answer.json()["detail"], answer.text


async def test_a_form_with_a_part_that_is_no_network_points_into_it(client: httpx.AsyncClient) -> None:
    files: Any = {"weights": dump(WEIGHTS), "network": (None, json.dumps({**NETWORK, "in_size": 0}))}
    answer = await client.put("/v1/models/bad", files=files)
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/network/in_size"), answer.text


async def test_what_torch_has_no_module_for_is_not_given_by_its_names(client: httpx.AsyncClient) -> None:
    network = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "mgu", "hidden_size": 2}]}
    await client.put("/v1/models/mgu", json={"network": network})
    answer = await client.get("/v1/models/mgu/weights?names=torch")
    assert (answer.status_code, answer.json()["place"]) == (422, "network/layers/0")
