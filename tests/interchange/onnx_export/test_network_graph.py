"""Networks as models of ONNX: checked, run in the reference evaluator beside Cellar, and read again bit for bit."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from cellar.engine import KernelCache
from cellar.errors import ImportRefused
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.onnx import import_onnx
from cellar.interchange.onnx_export import NETWORK_KEY, network_model
from cellar.nn.model.network import Network
from tests.interchange.proofs.export import compare, evaluator, random_network, random_spec
from tests.nn.golden.cases import (
    LAYER_NORM,
    bidirectional,
    dense,
    dropout,
    embedding,
    network,
    recurrent,
    residual,
    reverse,
)

EQUATIONS = {
    "equations": """
param a: scalar
param b: hidden
m = max(min(P @ x, 2), -a)
s = softmax(m)
h = s * h + sum(tanh(b)) * (U @ b)
"""
}
NETWORKS: dict[str, dict[str, Any]] = {
    "lstm": network(3, recurrent("lstm", 5, trainable_state=True), dense(2, "softmax")),
    "residual": network(3, residual(LAYER_NORM, dropout(0.5), recurrent("gru", 3)), dense(2, "softplus")),
    "text": network(1, embedding(7, 4), recurrent("lstm", 3), dropout(0.1)),
    "lru": network(3, recurrent("lru", 4), recurrent("leaky", 4)),
    "equations": network(3, recurrent(EQUATIONS, 3)),
    "no state": network(3, dense(2, "relu")),
    "bfloat16": network(3, recurrent("gru_torch", 5)) | {"weight_storage": "bfloat16"},
    "both ends": network(3, bidirectional("lstm", 2, trainable_state=True), dense(2), reverse("rnn", 3)),
    "text both ends": network(1, embedding(7, 4), bidirectional("gru_v3", 2)),
}


def exported(name: str) -> tuple[ImportedNetwork, Any]:
    """Return a network with random weights, and its model."""
    imported = random_network(NETWORKS[name], np.random.default_rng(1))
    return imported, network_model(Network(imported.spec), imported.weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_passes_the_checker_and_answers_what_cellar_does(name: str, cache: KernelCache) -> None:
    imported, model = exported(name)
    data = model.SerializeToString()
    onnx.checker.check_model(model, full_check=True)
    assert compare(imported, data, np.random.default_rng(2), cache, evaluator(data)) <= 2e-6


@pytest.mark.parametrize("name", NETWORKS)
def test_in_and_out_again_is_the_identity(name: str) -> None:
    imported, model = exported(name)
    data = model.SerializeToString(deterministic=True)
    again = import_onnx(data)
    assert again.spec == imported.spec
    assert {key: array.tobytes() for key, array in again.weights.items()} == {
        key: array.tobytes() for key, array in imported.weights.items()
    }
    assert network_model(Network(again.spec), again.weights).SerializeToString(deterministic=True) == data


def test_states_are_inputs_and_outputs_with_their_names() -> None:
    _, model = exported("lstm")
    assert [value.name for value in model.graph.input] == ["x", "0.c", "0.h"]
    assert [value.name for value in model.graph.output] == ["y", "0.c.next", "0.h.next"]
    assert {"0.Wi_f", "0.h0", "1.W"} <= {tensor.name for tensor in model.graph.initializer}


def test_random_networks_are_read_again() -> None:
    for seed in range(40):
        imported = random_network(random_spec(np.random.default_rng(seed)), np.random.default_rng(seed))
        model = network_model(Network(imported.spec), imported.weights)
        onnx.checker.check_model(model, full_check=True)
        assert import_onnx(model.SerializeToString()).spec == imported.spec


def test_a_graph_that_was_changed_is_not_taken_for_the_network() -> None:
    _, model = exported("lstm")
    model.graph.node[0].op_type = "Neg"
    with pytest.raises(ImportRefused) as caught:
        import_onnx(model.SerializeToString())
    assert caught.value.place == NETWORK_KEY
    assert "remove" in (caught.value.remedy or "")


@pytest.mark.parametrize("text", ["", "{}", "[" * 5000, '{"in_size": 3, "layers": [{"type": "conv"}]}'])
def test_metadata_that_are_no_network_are_refused(text: str) -> None:
    _, model = exported("lstm")
    helper.set_model_props(model, {NETWORK_KEY: text})
    with pytest.raises(ImportRefused) as caught:
        import_onnx(model.SerializeToString())
    assert caught.value.place == NETWORK_KEY


def test_weights_that_are_missing_or_not_finite_are_refused_by_name() -> None:
    imported, model = exported("lstm")
    weights = {**imported.weights, "1.b": np.full(2, np.nan, np.float32)}
    with pytest.raises(ImportRefused, match=r"1\.b"):
        import_onnx(network_model(Network(imported.spec), weights).SerializeToString())
    del model.graph.initializer[0]
    with pytest.raises(ImportRefused, match="missing"):
        import_onnx(model.SerializeToString())
