"""Evaluates ONNX operators on constants, from which exporters compute shapes and initial states."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.interchange.onnx.model_file import Node
from cellar.interchange.onnx.values import Constant, Filled, Part, Signal, Value, need_constant
from cellar.interchange.tensors import check_size

Inputs = Sequence[Value | None]
Operator = Callable[[Node, Inputs], Value]
Compute = Callable[[Node, NDArray[Any], list[NDArray[Any]]], NDArray[Any]]


def constant(node: Node, _: Inputs) -> Value:
    """Return the value of a node without inputs."""
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            value = node.attribute(name)
            dtype = np.float32 if "float" in name else np.int64 if "int" in name else None
            return Constant(np.asarray(value, dtype), node.outputs[0])
    raise node.refused("its value is of a kind that cannot be read")


def shape(node: Node, inputs: Inputs) -> Value:
    """Return the sizes of a signal's axes: numbers, or the part that has it."""
    value = inputs[0]
    if isinstance(value, Constant):
        return Constant(np.asarray(value.array.shape, np.int64), node.outputs[0])
    if not isinstance(value, Signal):
        raise node.refused("the shape of this is not known")
    sizes = [_size(node, axis) for axis in value.axes]
    sizes = sizes[slice(node.attribute("start", 0), node.attribute("end", len(sizes)))]
    return Constant(_objects(sizes), node.outputs[0])


def _size(node: Node, axis: tuple[Part, ...]) -> Any:
    real = [part for part in axis if part.size != 1]
    if all(part.size is not None for part in real):
        return int(np.prod([part.size or 0 for part in real], dtype=np.int64))
    if len(real) == 1:
        return real[0]
    raise node.refused("it measures an axis of which only one part is fixed")


def _objects(values: list[Any]) -> NDArray[Any]:
    if not any(isinstance(value, Part) for value in values):
        return np.asarray(values, np.int64)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def constant_of_shape(node: Node, _: Inputs) -> Value:
    """Return one number repeated. How often does not matter: only initial states and sums with a signal read it."""
    value = node.attribute("value")
    array = np.zeros(1, np.float32) if value is None else np.asarray(value).reshape(-1)
    if array.size != 1 or array.dtype.kind != "f":
        raise node.refused("it repeats something else than one real number")
    return Filled(float(array[0]))


def expand(node: Node, inputs: Inputs) -> Value:
    """Return a constant without the repetition: initial states and sums with a signal repeat it themselves."""
    value = inputs[0]
    if isinstance(value, Filled):
        return value
    given = need_constant(node, value, "input") if value is not None else None
    if given is None or given.array.dtype.kind != "f":
        raise node.refused("it repeats something else than real numbers")
    if given.array.size and (given.array == given.array.flat[0]).all():
        return Filled(float(given.array.flat[0]))
    return given


def _moved(compute: Compute) -> Operator:
    """Return an operator that moves or computes numbers of constants."""

    def operator(node: Node, inputs: Inputs) -> Value:
        """Compute the operator on constants, and check their sizes."""
        arrays = [need_constant(node, value, "input").array for value in inputs if value is not None]
        if not arrays:
            raise node.refused("it has no input")
        check_size([sum(array.size for array in arrays)], node.name)
        try:
            found = np.asarray(compute(node, arrays[0], arrays[1:]))
        except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError) as error:
            raise node.refused(f"its constants do not fit each other: {str(error)[:120]}") from error
        check_size(found.shape, node.name)
        return Constant(found, node.outputs[0])

    return operator


def _axes(node: Node, rest: list[NDArray[Any]]) -> tuple[int, ...] | None:
    given = node.attribute("axes", rest[0].reshape(-1).tolist() if rest else None)
    return None if given is None else tuple(int(axis) for axis in given)


def _slice(node: Node, array: NDArray[Any], rest: list[NDArray[Any]]) -> NDArray[Any]:
    old = [node.attribute(name) for name in ("starts", "ends", "axes")]
    new = [each.reshape(-1).tolist() for each in rest]
    starts, ends, axes, steps = (*(old if old[0] is not None else new), None, None)[:4]
    index = [slice(None)] * array.ndim
    axes = range(len(starts)) if axes is None else axes
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        index[axis] = slice(start, end, step)
    return array[tuple(index)]


def _unsqueeze(node: Node, array: NDArray[Any], rest: list[NDArray[Any]]) -> NDArray[Any]:
    return np.expand_dims(array, _axes(node, rest) or ())


def _squeeze(node: Node, array: NDArray[Any], rest: list[NDArray[Any]]) -> NDArray[Any]:
    return np.squeeze(array, _axes(node, rest))


def _reshape(_: Node, array: NDArray[Any], rest: list[NDArray[Any]]) -> NDArray[Any]:
    sizes = rest[0].reshape(-1).tolist()
    return array.reshape([array.shape[at] if size == 0 else size for at, size in enumerate(sizes)])


def _gather(node: Node, array: NDArray[Any], rest: list[NDArray[Any]]) -> NDArray[Any]:
    check_size([array.size // max(1, array.shape[node.attribute("axis", 0)]) * rest[0].size], node.name)
    return np.take(array, rest[0].astype(np.int64), axis=node.attribute("axis", 0))


def _cast(node: Node, array: NDArray[Any], _: list[NDArray[Any]]) -> NDArray[Any]:
    from onnx import TensorProto

    kinds = {TensorProto.FLOAT: np.float32, TensorProto.INT64: np.int64, TensorProto.INT32: np.int32}
    if array.dtype == object:
        return array
    return array.astype(kinds[node.attribute("to")]) if node.attribute("to") in kinds else array[()]


def _concat(node: Node, first: NDArray[Any], rest: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([first, *rest], axis=node.attribute("axis", 0))


def _binary(function: Callable[[Any, Any], Any]) -> Compute:
    def compute(node: Node, first: NDArray[Any], rest: list[NDArray[Any]]) -> NDArray[Any]:
        """Compute the operator on two arrays that can be broadcast."""
        if first.dtype == object or rest[0].dtype == object:
            raise node.refused("it computes with a size of the input")
        check_size(np.broadcast_shapes(first.shape, rest[0].shape), node.name)
        with np.errstate(all="ignore"):
            return np.asarray(function(first, rest[0])).astype(first.dtype)

    return compute


OPERATORS: dict[str, Operator] = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Expand": expand,
    "Shape": shape,
    "Identity": _moved(lambda _, array, __: array),
    "Cast": _moved(_cast),
    "Concat": _moved(_concat),
    "Gather": _moved(_gather),
    "Reshape": _moved(_reshape),
    "Slice": _moved(_slice),
    "Squeeze": _moved(_squeeze),
    "Unsqueeze": _moved(_unsqueeze),
    "Transpose": _moved(lambda node, array, _: np.transpose(array, node.attribute("perm"))),
    "Add": _moved(_binary(np.add)),
    "Sub": _moved(_binary(np.subtract)),
    "Mul": _moved(_binary(np.multiply)),
    "Div": _moved(_binary(np.divide)),
}
"""The operators that are evaluated if all their inputs are constants."""
