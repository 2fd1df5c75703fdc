"""Checks a graph before it is given to ONNX Runtime: its operators, its size, and that it is all in the file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cellar.errors import ImportRefused

MAX_NODES = 10_000
"""In the graph and all graphs within it."""
MAX_DEPTH = 8
"""Of graphs within nodes."""
OPSETS = range(7, 27)
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""The domains of ONNX's own operators."""

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Operators whose outputs are drawn: a step could not be computed again."""
LOOPS = frozenset({"Loop", "Scan", "SequenceMap"})
SIZED = frozenset({"ConstantOfShape", "Expand", "NonZero", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"})
"""Operators whose outputs may be of a size that an input tells."""


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Facts about the nodes of a graph and of the graphs within it."""

    operators: frozenset[str]
    parameter_count: int


def check_graph(model: Any, place: str) -> GraphFacts:
    """Return facts about a ModelProto. Raise ImportRefused, with the name of the node or tensor, unless it can run."""
    if not model.HasField("graph") or not model.graph.output:
        raise ImportRefused("the file holds no graph with an output", place=place, expected="an ONNX model")
    if model.functions:
        raise ImportRefused(
            "the model has functions of its own",
            place=model.functions[0].name[:128] or "functions",
            remedy="put them into the graph: onnx.inliner.inline_local_functions(model)",
        )
    if len(model.training_info):
        raise ImportRefused(
            "the model has graphs for training", place="training_info", remedy="export it for inference"
        )
    _check_versions(model)
    operators: set[str] = set()
    nodes = numbers = 0
    for graph in _graphs(model.graph, 0):
        nodes += len(graph.node)
        if nodes > MAX_NODES:
            raise ImportRefused("the graph has too many nodes", place=place, expected=f"at most {MAX_NODES}")
        numbers += sum(_checked_numbers(tensor, tensor.name) for tensor in graph.initializer)
        if graph.sparse_initializer:
            name = graph.sparse_initializer[0].values.name
            raise ImportRefused("sparse tensors cannot be read", place=name or "sparse_initializer")
        for index, node in enumerate(graph.node):
            numbers += _check_node(node, index)
            operators.add(node.op_type)
    return GraphFacts(frozenset(operators), numbers)


def _check_versions(model: Any) -> None:
    for entry in model.opset_import:
        if entry.domain in DOMAINS[:2] and entry.version not in OPSETS:
            raise ImportRefused(
                "the model is of a version of the operators that is not known",
                place="opset_import",
                expected=f"{OPSETS.start} to {OPSETS.stop - 1}",
                actual=str(entry.version),
            )


def _graphs(graph: Any, depth: int) -> Iterator[Any]:
    """Yield a graph and all graphs in attributes of its nodes."""
    if depth > MAX_DEPTH:
        raise ImportRefused("graphs are within each other too deeply", place=graph.name[:128] or "graph")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(inner, depth + 1)


def _check_node(node: Any, index: int) -> int:
    """Return how many numbers a node holds.

    Raise ImportRefused for an operator of another domain or one that draws, and for tensors in other files.
    """
    name = (node.name or f"{node.op_type} {index}" + (f" -> {node.output[0]}" if node.output else ""))[:128]
    if node.domain not in DOMAINS:
        raise ImportRefused(
            f"node {name!r}: {node.op_type[:64]} of {node.domain[:64]!r} is no operator of ONNX",
            place=name,
            expected="operators of ONNX",
            actual=f"{node.domain}.{node.op_type}"[:128],
        )
    if node.op_type in RANDOM or (node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]):
        raise ImportRefused(
            f"node {name!r} ({node.op_type}): it draws random numbers, and a step must be the same when it is repeated",
            place=name,
            remedy="draw the numbers where the inputs are made, and make them an input",
        )
    numbers = 0
    for attribute in node.attribute:
        tensors = [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
        numbers += sum(_checked_numbers(tensor, f"{name}.{attribute.name}") for tensor in tensors)
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise ImportRefused(f"node {name!r}: sparse tensors cannot be read", place=name)
    return numbers


def _checked_numbers(tensor: Any, name: str) -> int:
    """Return how many numbers a tensor has. Raise ImportRefused if they are in another file."""
    from onnx import TensorProto

    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ImportRefused(
            f"the numbers of {name[:128]!r} are in another file, which is not read",
            place=name[:128] or "tensor",
            remedy="save the model as one file: onnx.save(onnx.load(path), path)",
        )
    if any(size < 0 for size in tensor.dims):
        raise ImportRefused(f"the tensor {name[:128]!r} has a negative size", place=name[:128] or "tensor")
    return math.prod(tensor.dims)
