"""Models that Keras wrote, against what Keras answers; and models that cannot be expressed."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from cellar.engine import KernelCache
from cellar.errors import ImportRefused
from cellar.interchange.keras import read_keras
from tests.interchange.proofs.outcome import difference, run

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = ("stack.keras", "stack.h5", "text.keras", "both_ends.keras", "residual.h5")


@pytest.mark.parametrize("name", FILES)
def test_a_model_answers_what_keras_does(name: str, cache: KernelCache) -> None:
    arrays = load_file(GOLDEN / "keras.safetensors")
    inputs = arrays[f"{name} inputs"]
    inputs = (inputs[:, :, None] if inputs.ndim == 2 else inputs).swapaxes(0, 1)
    found = run(read_keras(GOLDEN / name), inputs, cache)
    expected = arrays[f"{name} outputs"]
    last = found.outputs[-1] if expected.ndim == 2 else found.outputs.swapaxes(0, 1)
    assert difference(last, expected) <= 1e-5
    numbers = sorted({number for number, _ in found.states})
    states = {key: value for key, value in arrays.items() if key.startswith(f"{name} state ")}
    assert len(states) == len(found.states) or "both" in name
    for key, value in states.items() if found.states else ():
        _, _, place, state = key.split()
        assert difference(found.states[numbers[int(place)], state], value) <= 1e-5


def rewritten(tmp_path: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Return a copy of a golden file whose configuration was changed."""
    path = tmp_path / name
    if name.endswith(".h5"):
        path.write_bytes((GOLDEN / name).read_bytes())
        with h5py.File(path, "r+") as file:
            model = json.loads(file.attrs["model_config"])
            change(model)
            file.attrs["model_config"] = json.dumps(model)
        return path
    with zipfile.ZipFile(GOLDEN / name) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            if entry == "config.json":
                model = json.loads(data)
                change(model)
                data = json.dumps(model).encode()
            new.writestr(entry, data)
    return path


def layer_of(model: dict[str, Any], class_name: str) -> dict[str, Any]:
    """Return the configuration of the first layer of a class."""
    return next(layer for layer in model["config"]["layers"] if layer["class_name"] == class_name)


def option(class_name: str, **values: Any) -> Callable[[dict[str, Any]], Any]:
    """Return a change of options of a layer."""
    return lambda model: layer_of(model, class_name)["config"].update(values)


def renamed(class_name: str, other: str) -> Callable[[dict[str, Any]], Any]:
    """Return a change of a layer's class."""
    return lambda model: layer_of(model, class_name).update(class_name=other)


@pytest.mark.parametrize(
    ("name", "change", "place", "detail"),
    [
        ("stack.keras", renamed("LSTM", "ConvLSTM1D"), "lstm", "cannot be expressed"),
        ("stack.keras", renamed("LSTM", "Masking"), "lstm", "leaves out steps"),
        ("stack.keras", option("LSTM", go_backwards=True), "lstm", "answers in that order"),
        ("stack.keras", option("GRU", return_sequences=False), "lstm", "without an axis of time"),
        ("stack.keras", option("LSTM", activation="gelu"), "lstm", "'gelu' cannot be expressed"),
        ("stack.keras", option("LSTM", units=7), "lstm", "another shape"),
        ("stack.keras", option("LSTM", units=True), "lstm", "no size"),
        ("stack.keras", option("LSTM", use_bias=False), "lstm", "no layer has the array"),
        ("stack.keras", option("LSTM", name="other"), "lstm", "are those of the layer"),
        ("stack.keras", option("LSTM", dtype="float64"), "lstm", "another type"),
        ("stack.h5", option("GRU", reset_after=True), "gru", "another shape"),
        ("stack.keras", option("Dense", quantization_config={"x": 1}), "dense", "quantised"),
        ("text.keras", option("Embedding", mask_zero=True), "embedding", "leaves out steps"),
        ("text.keras", option("LayerNormalization", axis=1), "layer_normalization", "another axis"),
        ("text.keras", option("Dropout", rate=1.5), "dropout", "no probability"),
        ("both_ends.keras", option("Bidirectional", merge_mode=None), "bidirectional", "merge_mode"),
        ("both_ends.keras", option("TimeDistributed", layer=None), "time_distributed", "configuration"),
        ("residual.h5", renamed("Add", "Concatenate"), "concatenate", "reads 2 signals"),
        ("stack.keras", lambda model: model.update(class_name="MyModel"), "MyModel", "does not say what it computes"),
        ("stack.keras", lambda model: model.update(config=7), "config.json", "configuration of a model is missing"),
        ("stack.keras", lambda model: model["config"].update(layers=[{}]), "layers/0", "no configuration"),
    ],
)
def test_what_cannot_be_expressed_is_refused_at_its_layer(
    name: str, change: Callable[[dict[str, Any]], Any], place: str, detail: str, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused) as caught:
        read_keras(rewritten(tmp_path, name, change))
    assert detail in caught.value.detail
    assert place.split("_", maxsplit=1)[0] in caught.value.place or "add" in caught.value.place


def test_a_bidirectional_layer_that_answers_once_is_refused(tmp_path: Path) -> None:
    def change(model: dict[str, Any]) -> None:
        for part in ("layer", "backward_layer"):
            layer_of(model, "Bidirectional")["config"][part]["config"]["return_sequences"] = False

    with pytest.raises(ImportRefused, match="belongs to the first step"):
        read_keras(rewritten(tmp_path, "both_ends.keras", change))


def test_models_of_keras_2_have_their_hard_sigmoid(tmp_path: Path) -> None:
    path = rewritten(tmp_path, "stack.h5", option("GRU", recurrent_activation="hard_sigmoid"))
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = b"2.15.0"
    text = read_keras(path).spec.model_dump_json()
    assert "0.2 * v_z + 0.5" in text
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "3.0.0"
    assert "min(max(v_z + 3, 0), 6) / 6" in read_keras(path).spec.model_dump_json()


def test_files_as_keras_2_writes_them_are_read(tmp_path: Path) -> None:
    def change(model: dict[str, Any]) -> None:
        first, *rest = model["config"]["layers"]
        rest[0]["config"]["batch_input_shape"] = first["config"]["batch_shape"]
        for layer in rest:
            layer["config"].update(dtype="float32", time_major=False, implementation=2)
        model["config"]["layers"] = rest

    path = rewritten(tmp_path, "stack.h5", change)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = b"2.15.0"
        for name in file["model_weights"].attrs["layer_names"]:
            group = file["model_weights"][name]
            names = [f"{each}:0" for each in group.attrs["weight_names"]]
            for each in names:
                group.move(each.removesuffix(":0"), each)
            group.attrs["weight_names"] = np.array([each.encode() for each in names], dtype="S")
    found, expected = read_keras(path), read_keras(GOLDEN / "stack.h5")
    assert found.spec == expected.spec
    assert all((found.weights[name] == array).all() for name, array in expected.weights.items())


def test_nodes_as_keras_2_writes_them_are_read(tmp_path: Path) -> None:
    def change(model: dict[str, Any]) -> None:
        for layer in model["config"]["layers"]:
            nodes = layer["inbound_nodes"]
            names = [part["config"]["keras_history"] for part in _tensors(nodes)]
            layer["inbound_nodes"] = [[[*history, {}] for history in names]] if names else []
        model["class_name"] = "Model"

    expected = read_keras(GOLDEN / "residual.h5")
    assert read_keras(rewritten(tmp_path, "residual.h5", change)).spec == expected.spec


def _tensors(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for part in parts for found in _tensors(part)]


def test_a_model_within_a_model_is_read(tmp_path: Path, cache: KernelCache) -> None:
    def change(model: dict[str, Any]) -> None:
        inner = model["config"]["layers"][1:]
        nested = {"class_name": "Sequential", "config": {"name": "inner", "layers": inner}}
        model["config"]["layers"] = [model["config"]["layers"][0], nested]

    path = rewritten(tmp_path, "stack.h5", change)
    with h5py.File(path, "r+") as file:
        weights = file["model_weights"]
        names: list[str] = []
        for layer in list(weights.attrs["layer_names"]):
            names += [f"{layer}/{name}" for name in weights[layer].attrs["weight_names"]]
            weights.move(layer, f"inner/{layer}")
        weights["inner"].attrs["weight_names"] = names
    found, expected = read_keras(path), read_keras(GOLDEN / "stack.h5")
    assert found.spec == expected.spec
    assert all((found.weights[name] == array).all() for name, array in expected.weights.items())
    assert np.isfinite(run(found, np.ones((2, 1, 3)), cache).outputs).all()
