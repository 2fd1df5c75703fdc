"""Reads models that Cellar exported: from the network in their metadata, if the graph matches it."""

from typing import Any

from pydantic import ValidationError

from cellar.errors import ImportRefused, InvalidInput
from cellar.interchange.imported import ImportedNetwork, check_weights
from cellar.interchange.onnx.model_file import tensor_array
from cellar.interchange.onnx_export import NETWORK_KEY, network_model
from cellar.interchange.tensors import float32_array
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec


def own_network(model: Any) -> ImportedNetwork | None:
    """Return the network that a ModelProto states it is; None if it states none.

    Raise ImportRefused if its graph is another one than Cellar writes of that network.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == NETWORK_KEY), None)
    if text is None:
        return None
    try:
        network = Network(NetworkSpec.model_validate_json(text))
    except (ValidationError, InvalidInput) as error:
        raise ImportRefused(f"the metadata hold no network: {str(error)[:200]}", place=NETWORK_KEY) from error
    names = {name for name, _ in network.parameters}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {
        name: float32_array(tensor_array(tensor, name), name) for name, tensor in tensors.items() if name in names
    }
    check_weights(network, weights)
    if _graph(model) != _graph(network_model(network, weights)):
        raise ImportRefused(
            "the graph is not that of the network in the metadata",
            place=NETWORK_KEY,
            remedy=f"remove {NETWORK_KEY} from the metadata, so that the graph itself is read",
        )
    return ImportedNetwork(network.spec, weights)


def _graph(model: Any) -> tuple[Any, ...]:
    """Return the parts of a graph that affect its results: everything except its name and documentation."""
    graph = model.graph
    parts = [sorted(part.SerializeToString(deterministic=True) for part in graph.initializer)]
    parts += [
        [part.SerializeToString(deterministic=True) for part in each]
        for each in (graph.node, graph.input, graph.output)
    ]
    return (*parts, [(entry.domain, entry.version) for entry in model.opset_import])
