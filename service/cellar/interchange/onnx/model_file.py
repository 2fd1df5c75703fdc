"""Reads an ONNX file as a graph of nodes, within limits. No file that it refers to is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused
from cellar.interchange.onnx.file_checks import check_node, count_messages
from cellar.interchange.tensors import check_size

MAX_BYTES = 160 * 1024 * 1024
"""Twice the weights of the largest network, and some more."""
MAX_MESSAGES = 100_000
MAX_NODES = 4096
OPSETS = range(7, 27)
"""Versions of the operators whose meaning the reader knows."""
STANDARD = ("", "ai.onnx")
"""The domain of ONNX's own operators, by its two names."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the graph: an operator, the names of its values, and its attributes."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    """Names; "" where an optional input is left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute: a number, a text, an array, or a list of numbers or texts."""
        return self.attributes.get(name, default)

    def refused(self, detail: str, **more: str) -> ImportRefused:
        """Return an error that names the node."""
        return ImportRefused(f"node {self.name!r} ({self.operator}): {detail}", place=self.name, **more)


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input of the graph."""

    name: str
    shape: tuple[int | None, ...] | None
    """None for a size that is not fixed; None as a whole if the file does not tell."""
    whole_numbers: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """The contents of a file."""

    nodes: tuple[Node, ...]
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, NDArray[Any]]


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file. Raise ImportRefused if it is too large or cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImportRefused(
                "the file is too large",
                place=path.name,
                expected=f"at most {MAX_BYTES} bytes",
                actual=str(path.stat().st_size),
            )
        return path.read_bytes()
    except OSError as error:
        raise ImportRefused(f"the file cannot be read: {error.strerror}", place=path.name) from error


def parse_model(data: bytes, place: str = "model") -> Any:
    """Return the ModelProto of bytes. Raise ImportRefused if they are damaged or too many."""
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ImportError as error:
        raise ImportRefused(
            "models of ONNX are read by the package onnx, which is not installed",
            place=place,
            remedy="pip install 'cellar-serve[onnx]'",
        ) from error
    if len(data) > MAX_BYTES:
        raise ImportRefused("the file is too large", place=place, expected=f"at most {MAX_BYTES} bytes")
    count_messages(memoryview(data), ModelProto.DESCRIPTOR, MAX_MESSAGES, place)
    try:
        return ModelProto.FromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise ImportRefused(f"the file is no ONNX model: {error}", place=place) from error


def graph_of(model: Any, place: str = "model") -> Graph:
    """Return the graph of a ModelProto. Raise ImportRefused if Cellar cannot express it."""
    if not model.HasField("graph") or not model.graph.output:
        raise ImportRefused("the file holds no graph with an output", place=place, expected="an ONNX model")
    if model.functions:
        raise ImportRefused("the model has functions of its own", place=model.functions[0].name or "functions")
    if len(model.graph.node) > MAX_NODES:
        raise ImportRefused("the graph has too many nodes", place=place, expected=f"at most {MAX_NODES}")
    versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain in STANDARD}
    opset = max(versions.values(), default=0)
    if opset not in OPSETS:
        raise ImportRefused(
            "the model is of a version of the operators that is not known",
            place="opset_import",
            expected=f"{OPSETS.start} to {OPSETS.stop - 1}",
            actual=str(opset),
        )
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise ImportRefused("sparse tensors cannot be read", place=name or "sparse_initializer")
    named = (*model.graph.initializer, *model.graph.input, *model.graph.output)
    if any(not value.name for value in named):
        raise ImportRefused("a tensor, input or output of the graph has no name", place=place)
    constants = {tensor.name: tensor_array(tensor, tensor.name) for tensor in model.graph.initializer}
    if len(constants) != len(model.graph.initializer):
        raise ImportRefused("two tensors have the same name", place=place)
    return Graph(
        tuple(_node(node, index, opset) for index, node in enumerate(model.graph.node)),
        tuple(_input(value) for value in model.graph.input if value.name not in constants),
        tuple(value.name for value in model.graph.output),
        constants,
    )


def _node(node: Any, index: int, opset: int) -> Node:
    name = node.name or f"{node.op_type} {index}" + (f" -> {node.output[0]}" if node.output else "")
    if node.domain not in STANDARD:
        raise ImportRefused(
            f"node {name!r}: {node.op_type} of {node.domain!r} is no operator of ONNX",
            place=name,
            expected="operators of ONNX",
            actual=f"{node.domain}.{node.op_type}",
        )
    check_node(node, name, opset)
    attributes = {attribute.name: _attribute(attribute, name) for attribute in node.attribute}
    return Node(node.op_type, name, tuple(node.input), tuple(node.output), attributes, opset)


def _attribute(attribute: Any, node: str) -> Any:
    """Return the value of an attribute. Raise ImportRefused for a graph within the graph, and unknown kinds."""
    from onnx import AttributeProto as Kind

    match attribute.type:
        case Kind.FLOAT:
            return float(attribute.f)
        case Kind.INT:
            return int(attribute.i)
        case Kind.STRING:
            return attribute.s.decode("utf-8", "replace")
        case Kind.FLOATS:
            return [float(value) for value in attribute.floats]
        case Kind.INTS:
            return [int(value) for value in attribute.ints]
        case Kind.STRINGS:
            return [value.decode("utf-8", "replace") for value in attribute.strings]
        case Kind.TENSOR:
            return tensor_array(attribute.t, f"{node}.{attribute.name}")
    raise ImportRefused(
        f"node {node!r}: the attribute {attribute.name!r} is of a kind that cannot be read, such as a graph", place=node
    )


def tensor_array(tensor: Any, name: str) -> NDArray[Any]:
    """Return the numbers of a tensor. Raise ImportRefused if they are in another file, or fewer or more than stated."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ImportRefused(
            f"the numbers of {name!r} are in another file, which is not read",
            place=name,
            remedy="save the model as one file: onnx.save(onnx.load(path), path)",
        )
    if any(size < 0 for size in tensor.dims):
        raise ImportRefused(f"the tensor {name!r} has a negative size", place=name, actual=str(list(tensor.dims)))
    check_size(tensor.dims, name)
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError, RuntimeError) as error:
        raise ImportRefused(f"the tensor {name!r} is damaged: {str(error)[:200]}", place=name) from error


def _input(value: Any) -> GraphInput:
    """Return an input. Raise ImportRefused unless it is a tensor of float32 or whole numbers."""
    from onnx import TensorProto

    kind = value.type.tensor_type
    whole = kind.elem_type in (TensorProto.INT64, TensorProto.INT32)
    if kind.elem_type != TensorProto.FLOAT and not whole:
        raise ImportRefused(
            f"the input {value.name!r} is of another type",
            place=value.name,
            expected="a tensor of float32, or whole numbers as ids or lengths",
            actual=TensorProto.DataType.Name(kind.elem_type) if kind.elem_type in range(1, 24) else "no tensor",
        )
    if not kind.HasField("shape"):
        return GraphInput(value.name, None, whole)
    sizes = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    return GraphInput(value.name, tuple(size if size and size > 0 else None for size in sizes), whole)
