"""Random networks as models of ONNX: checked, run in ONNX Runtime beside Cellar, and read again."""

from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from cellar.cells import BUILT_IN
from cellar.engine import KernelCache
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.onnx import import_onnx
from cellar.interchange.onnx_export import network_model
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from tests.interchange.proofs.outcome import Array, Outcome, difference

Random = np.random.Generator


def prove(cache: KernelCache, count: int, seed: int) -> Outcome:
    """Compare random networks in ONNX Runtime."""
    import onnxruntime

    outcome = Outcome()
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        spec = random_spec(rng)
        imported = random_network(spec, rng)
        data = network_model(Network(imported.spec), imported.weights).SerializeToString()
        onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        worst = compare(imported, data, rng, cache, lambda feed, session=session: session.run(None, feed))
        again = import_onnx(data)
        same = again.spec == imported.spec and again.weights.keys() == imported.weights.keys()
        same = same and all(
            again.weights[name].tobytes() == array.tobytes() for name, array in imported.weights.items()
        )
        outcome.counts["read again bit for bit"] += same
        outcome.add(f"{index} {spec}", worst if same else np.inf)
    return outcome


def evaluator(data: bytes) -> Any:
    """Return what runs a model in the reference evaluator."""
    session = ReferenceEvaluator(onnx.load_from_string(data))
    return lambda feed: session.run(None, feed)


def random_network(spec: dict[str, Any], rng: Random) -> ImportedNetwork:
    """Return a network with random weights."""
    network = Network(NetworkSpec.model_validate(spec))
    weights = {name: (rng.normal(size=shape) * 0.5).astype(np.float32) for name, shape in network.parameters}
    return ImportedNetwork(network.spec, weights)


def compare(imported: ImportedNetwork, data: bytes, rng: Random, cache: KernelCache, answer: Any) -> float:
    """Return the largest difference of outputs and states: of a whole sequence, or of steps one after the other."""
    network = Network(imported.spec)
    bound = CompiledNetwork(network, cache).bind(imported.weights)
    steps, rows = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    shape = (steps, rows, network.in_size)
    count = network.embedding.count if network.embedding is not None else 0
    inputs = (rng.integers(0, count, shape) if count else rng.normal(size=shape)).astype(np.float32)
    found = bound.run(inputs, bound.initial_state(rows))
    names = [value.name for value in onnx.load_from_string(data).graph.input]
    if network.whole_sequences:
        return difference(found.outputs, np.asarray(answer({"x": _ids(inputs) if count else inputs})[0]))
    state = bound.initial_state(rows)
    states = [state[:, place.offset : place.offset + place.size] for place in network.states]
    outputs: list[Array] = []
    for x in inputs:
        y, *states = answer({"x": _ids(x) if count else x, **dict(zip(names[1:], states, strict=True))})
        outputs.append(y)
    joined = np.hstack([np.zeros((rows, 0), np.float32), *states])
    return max(difference(found.outputs, np.stack(outputs)), difference(found.state, joined))


def _ids(inputs: Array) -> Array:
    """Return ids as whole numbers, without the axis of numbers."""
    return np.asarray(inputs[..., 0].astype(np.int64))


def random_spec(rng: Random) -> dict[str, Any]:
    """Return a random network: every kind of layer, every built-in cell, and one of equations."""
    ids = rng.random() < 0.2
    width = int(rng.integers(1, 6))
    layers: list[dict[str, Any]] = [{"type": "embedding", "count": 9, "out_size": width}] if ids else []
    in_size = 1 if ids else width
    for _ in range(int(rng.integers(1, 5))):
        layer, width = _layer(rng, width)
        layers.append(layer)
    storage = "bfloat16" if rng.random() < 0.1 else "float32"
    return {"in_size": in_size, "layers": layers, "weight_storage": storage}


EQUATIONS = "param P: 3 x in\nm = max(min(P @ x, 2), -1)\ns = softmax(W @ m + V @ h)\nh = s / (1 + exp(-a * sum(m)))"


def _recurrent(rng: Random, size: int) -> dict[str, Any]:
    cells = [*BUILT_IN, "equations"]
    cell = cells[rng.integers(len(cells))]
    text: Any = {"equations": f"param a: scalar\n{EQUATIONS}"} if cell == "equations" else cell
    return {"type": "recurrent", "cell": text, "hidden_size": size, "trainable_state": bool(rng.integers(2))}


def _layer(rng: Random, width: int) -> tuple[dict[str, Any], int]:
    """Return a random layer, and how many numbers it answers."""
    size = int(rng.integers(1, 7))
    kinds = ["recurrent", "recurrent", "dense", "residual", "layer_norm", "dropout", "bidirectional", "reverse"]
    match kinds[rng.integers(len(kinds))]:
        case "recurrent":
            return _recurrent(rng, size), size
        case "residual":
            inner = [_recurrent(rng, size), {"type": "dense", "out_size": width}]
            return {"type": "residual", "layers": inner}, width
        case "layer_norm":
            return {"type": "residual", "layers": [{"type": "layer_norm"}, {"type": "dropout", "rate": 0.5}]}, width
        case "dropout":
            return {"type": "residual", "layers": [{"type": "dense", "out_size": width}]}, width
        case "bidirectional":
            other = {"reverse_layer": _recurrent(rng, size + 1)} if rng.random() < 0.4 else {}
            return {"type": "bidirectional", "layer": _recurrent(rng, size), **other}, 2 * size + len(other)
        case "reverse":
            return {"type": "reverse", "layer": _recurrent(rng, size)}, size
    names = ["identity", "tanh", "relu", "sigmoid", "softplus", "softmax"]
    chosen = names[rng.integers(len(names))]
    return {"type": "dense", "out_size": size, "activation": chosen, "bias": bool(rng.integers(2))}, size
