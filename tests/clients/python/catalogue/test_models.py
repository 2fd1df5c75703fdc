"""Models that the blocking client creates, publishes, imports and reads, and jobs that train them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar_client import Client, JobFailed
from cellar_client import errors as client_errors
from cellar_client.arrays import safetensors
from tests.onnx_graph.graphs import lstm

GRU = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
RNG = np.random.default_rng(5)


def test_weights_go_out_and_in_again(client: Client) -> None:
    created = client.models.create("round", GRU, seed=3)
    assert client.models.create("round", GRU, seed=3)["model"] == created["model"] == "round@1"
    weights = client.models.weights("round")
    published = client.models.publish("round", GRU, {name: value * 2 for name, value in weights.items()})
    assert published["model"] == "round@2"
    for name, value in client.models.weights("round").items():
        np.testing.assert_array_equal(value, weights[name] * 2)
    assert client.models.get("round@1")["digest"] == created["digest"]
    assert "round" in [model["name"] for model in client.models.list()]
    client.models.delete("round")
    with pytest.raises(client_errors.ModelUnknown):
        client.models.get("round")


def test_a_state_dict_is_published_and_checked(client: Client) -> None:
    tensors = {
        "lstm.weight_ih_l0": RNG.normal(0, 0.3, (8, 3)),
        "lstm.weight_hh_l0": RNG.normal(0, 0.3, (8, 2)),
        "lstm.bias_ih_l0": RNG.normal(0, 0.3, 8),
        "lstm.bias_hh_l0": RNG.normal(0, 0.3, 8),
        "head.weight": RNG.normal(0, 0.3, (1, 2)),
        "head.bias": np.zeros(1),
    }
    found = client.models.import_torch("washer", tensors, ["lstm", "head"])
    assert (found["in_size"], found["out_size"]) == (3, 1)
    inputs = RNG.normal(size=(5, 3))
    outputs = client.session(model="washer").sequence(inputs).output
    again = client.models.import_torch("washer", tensors, ["lstm", "relu", "head"])
    assert again["model"] == "washer@2"
    checked = client.models.import_torch("washer", tensors, ["lstm", "head"], check=(inputs, outputs))
    assert checked["model"] == "washer@3"
    with pytest.raises(client_errors.ImportRefused) as caught:
        client.models.import_torch("washer", tensors, ["lstm", "head"], check=(inputs, outputs + 1))
    assert "place" in caught.value.document
    with pytest.raises(client_errors.ImportRefused):
        client.models.import_torch("washer", tensors, ["lstm"])


@pytest.mark.parametrize(("form", "suffix"), [("safetensors", ".safetensors"), ("json", ".json")])
def test_an_exported_file_is_imported(client: Client, tmp_path: Path, form: str, suffix: str) -> None:
    created = client.models.create(f"file-{form}", GRU)
    path = tmp_path / f"model{suffix}"
    path.write_bytes(client.models.export(f"file-{form}", form))
    assert client.models.import_file(f"copy-{form}", path)["digest"] == created["digest"]


def test_a_graph_is_hosted_as_it_is(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(lstm())
    found = client.models.host_graph("graph", path, {"states": {"h0": "hn", "c0": "cn"}, "micro_batches": False})
    assert (found["engine"], found["network"], found["in_size"]) == ("onnxruntime", None, 3)
    assert found["graph"] is not None
    assert found["graph"]["micro_batches"] is False
    assert client.session(model="graph").step([1, 2, 3]).output.shape == (2,)
    assert client.models.export("graph", "onnx") == lstm()


def test_files_that_cannot_be_imported(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        client.models.import_file("none", tmp_path / "none.onnx")
    (tmp_path / "model.keras").write_bytes(b"nothing")
    with pytest.raises(client_errors.ImportRefused) as caught:
        client.models.import_file("none", tmp_path / "model.keras")
    assert caught.value.document["place"] == "model.keras"
    monkeypatch.setitem(sys.modules, "cellar.cli.import_file", None)
    with pytest.raises(ValueError, match="cellar import"):
        client.models.import_file("none", tmp_path / "model.keras")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="pip install torch"):
        client.models.import_file("none", tmp_path / "model.pt")


def test_a_job_is_followed_to_its_end(client: Client) -> None:
    # the value is of that kind here
    client.models.create("learns", GRU | {"layers": [*GRU["layers"], {"type": "dense", "out_size": 1}]})  # type: ignore[misc]
    inputs = RNG.normal(size=(200, 2)).astype(np.float32)
    data = inputs, inputs[:, 0]
    job = client.train("learns", *data, epochs=3, window=20, state="carry", publish="always", key="once")
    again = client.train("learns", *data, epochs=3, window=20, state="carry", publish="always", key="once")
    assert (again.wait(), again.id, len(again.losses)) == ("learns@2", job.id, 3)
    states = [document["state"] for document in job.follow()]
    assert (states[-1], job.ended, client.job(job.id).wait()) == ("succeeded", True, "learns@2")
    long = client.train("learns", *data, epochs=100_000, publish="always")
    long.cancel()
    with pytest.raises(JobFailed):
        long.wait()


def test_safetensors_of_every_type_are_read_and_written() -> None:
    tensors: dict[str, NDArray[Any]] = {
        "a": np.arange(6, dtype=np.float64).reshape(2, 3),
        "b": np.full((), 3, np.float32),
        "c": np.array([1, 2], ">i8"),
    }
    found = safetensors.load(safetensors.dump(tensors, {"k": "v"}))
    for name, value in tensors.items():
        np.testing.assert_array_equal(found[name], value)
