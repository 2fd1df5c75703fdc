"""Converts ONNX operators that compute: matrix products, sums, functions of elements, normalisation, embedding."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cellar.interchange.activations import Activation, number_text
from cellar.interchange.chain import ImportedLayer, layer_norm, residual_sum, stateless
from cellar.interchange.onnx.activations import ALONG_NUMBERS, function_of_both
from cellar.interchange.onnx.activations import OPERATORS as FUNCTIONS
from cellar.interchange.onnx.model_file import Node
from cellar.interchange.onnx.values import Constant, Filled, Part, Signal, Value, need_constant, need_signal
from cellar.interchange.tensors import float32_array
from cellar.nn.model.layers.dense import Activation as DenseActivation
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.embedding import EmbeddingSpec

Array = NDArray[np.float32]
Inputs = Sequence[Value | None]

SYMBOLS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}


def matmul(node: Node, signal: Signal, inputs: Inputs) -> Signal:
    """Multiply each step's numbers by a constant matrix (in, out)."""
    _check_first(node, signal, inputs)
    matrix = _matrix(node, inputs, 1)
    return _dense(node, signal, np.ascontiguousarray(matrix.T))


def gemm(node: Node, signal: Signal, inputs: Inputs) -> Signal:
    """Compute alpha * A @ B + beta * C with the signal as A."""
    _check_first(node, signal, inputs)
    if node.attribute("transA", 0) or len(signal.axes) != 2:
        raise node.refused("the signal is not a matrix with a row for each step", expected="two axes, and transA = 0")
    matrix = _matrix(node, inputs, 1)
    found = _dense(node, signal, matrix if node.attribute("transB", 0) else np.ascontiguousarray(matrix.T))
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    if alpha != 1:
        found = _scaled(node, found, "*", Constant(np.asarray(alpha, np.float32), "alpha"), first=True)
    if len(inputs) < 3 or inputs[2] is None:
        return found
    bias = need_constant(node, inputs[2], "C")
    if beta != 1:
        bias = Constant(np.asarray(bias.array, np.float32) * np.float32(beta), bias.name)
    return _scaled(node, found, "+", bias, first=True)


def elementwise(node: Node, inputs: Inputs) -> Value:
    """Combine two signals, or a signal and a constant."""
    first, second = inputs[0], inputs[1]
    if isinstance(first, Signal) and isinstance(second, Signal):
        return _of_two(node, first, second)
    signal = first if isinstance(first, Signal) else second
    other = second if isinstance(first, Signal) else first
    found = need_signal(node, signal) if signal is not None else None
    if found is None or not isinstance(other, Constant | Filled):
        raise node.refused("it combines a signal with something else than a signal or a constant")
    return _scaled(node, found, SYMBOLS[node.operator], other, first=found is first)


def _of_two(node: Node, first: Signal, second: Signal) -> Signal:
    """Return the sum of a signal and of the output of layers that read it, or a signal combined with its function."""
    same = len(first.axes) == len(second.axes) and first.when == second.when and first.width == second.width
    if same and first.source == second.source and first.numbers_last and second.numbers_last:
        if (joined := function_of_both(first, second, SYMBOLS[node.operator], node.name)) is not None:
            return joined
        layers = residual_sum(first.layers, second.layers, node.name) if node.operator == "Add" else None
        if layers is not None:
            return replace(first, layers=layers, state=False)
    raise node.refused(
        "it combines signals other than a signal and a function of it, or Add of a signal and of what layers make of it"
    )


def _scaled(node: Node, signal: Signal, symbol: str, other: Constant | Filled, *, first: bool) -> Signal:
    """Return `x symbol constant`, or `constant symbol x`; a sum after a dense layer becomes its bias."""
    _check_computed(node, signal)
    array = np.asarray([other.value], np.float32) if isinstance(other, Filled) else _vector(node, signal, other)
    width = signal.width
    if symbol == "+" and width is not None and (biased := _with_bias(signal, np.broadcast_to(array, width))):
        return biased
    text = "b"
    weights: dict[str, Array] = {"b": array}
    if array.size == 1:
        text, weights = number_text(float(array[0])), {}
    words = f"x {symbol} {text}" if first else f"{text} {symbol} x"
    declared = "param b: in\n" if weights else ""
    return signal.with_layers(stateless(f"{declared}output = {words}", width or 1, weights, node.name))


def _with_bias(signal: Signal, bias: Array) -> Signal | None:
    """Return a signal whose last layer is dense with a bias, None if it is no dense layer that may have one."""
    last = signal.layers[-1] if signal.layers else None
    if last is None or not isinstance(last.spec, DenseSpec) or last.spec.bias or last.spec.activation != "identity":
        return None
    spec = last.spec.model_copy(update={"bias": True})
    layer = ImportedLayer(spec, {**last.weights, "b": np.ascontiguousarray(bias)}, last.place)
    return replace(signal, layers=(*signal.layers[:-1], layer))


def _vector(node: Node, signal: Signal, constant: Constant) -> Array:
    """Return a constant as one number, or one for each of a step's numbers. Raise ImportRefused for other shapes."""
    array = float32_array(np.asarray(constant.array), constant.name)
    if array.size == 1:
        return array.reshape(1)
    if array.ndim and array.shape[-1] == array.size == signal.width and signal.numbers_last:
        return array.reshape(-1)
    raise node.refused(
        "its constant is not the same for every step and row",
        expected=f"one number, or {signal.width} along the last axis",
        actual=str(list(array.shape)),
    )


def function(node: Node, signal: Signal, inputs: Inputs) -> Signal:
    """Apply an activation function to each number, or to all numbers of a step."""
    del inputs
    _check_computed(node, signal)
    found = ALONG_NUMBERS.get(node.operator)
    if found is None:
        return _applied(node, signal, FUNCTIONS[node.operator](node))
    axis = node.attribute("axis", -1 if node.opset >= 13 else 1)
    if axis not in (-1, len(signal.axes) - 1) or not signal.numbers_last:
        raise node.refused("it works along another axis than the numbers of a step", actual=f"axis {axis}")
    return _applied(node, signal, found)


def clip(node: Node, signal: Signal, inputs: Inputs) -> Signal:
    """Bound each number."""
    _check_computed(node, signal)
    bounds = {}
    for place, (name, ours) in enumerate((("min", "low"), ("max", "high")), 1):
        value = inputs[place] if place < len(inputs) else None
        if value is not None:
            array = need_constant(node, value, name).array
            if array.size != 1:
                raise node.refused(f"{name} is not one number")
            bounds[ours] = float(array.reshape(-1)[0])
        elif name in node.attributes:
            bounds[ours] = node.attribute(name)
    bounds = {name: bound for name, bound in bounds.items() if abs(bound) < 3.4e38}
    kinds = {("low", "high"): "clip", ("low",): "clip_below", ("high",): "clip_above", (): "identity"}
    return _applied(node, signal, Activation(kinds[tuple(bounds)], bounds))


def _applied(node: Node, signal: Signal, activation: Activation) -> Signal:
    """Return a function of a signal; a dense layer before it takes it over where it knows it."""
    if activation.name == "identity":
        return signal
    last = signal.layers[-1] if signal.layers else None
    dense = last is not None and isinstance(last.spec, DenseSpec) and last.spec.activation == "identity"
    if last is not None and dense and activation.name in get_args(DenseActivation):
        layer = ImportedLayer(last.spec.model_copy(update={"activation": activation.name}), last.weights, last.place)
        return replace(signal, layers=(*signal.layers[:-1], layer))
    return signal.with_layers(stateless(f"output = {activation.of('x')}", signal.width or 1, {}, node.name))


def layer_normalization(node: Node, signal: Signal, inputs: Inputs) -> Signal:
    """Normalise the numbers of a step."""
    _check_computed(node, signal)
    axis = node.attribute("axis", -1)
    if axis not in (-1, len(signal.axes) - 1) or not signal.numbers_last:
        raise node.refused("it normalises along other axes than the numbers of a step", actual=f"axis {axis}")
    scale = float32_array(need_constant(node, inputs[1], "Scale").array, "Scale").reshape(-1) if inputs[1] else None
    if scale is None or signal.width not in (None, scale.size):
        raise node.refused("its Scale has another size", expected=str(signal.width))
    bias = np.zeros_like(scale)
    if len(inputs) > 2 and inputs[2] is not None:
        bias = float32_array(need_constant(node, inputs[2], "B").array, "B").reshape(-1)
    weights = {"g": scale, "b": bias}
    return signal.with_layers(
        layer_norm(node.attribute("epsilon", 1e-5), weights, node.name), width=signal.width or scale.size
    )


def embedding(node: Node, table: Constant, ids: Signal) -> Signal:
    """Return the rows of a matrix for the ids that an input of the graph is."""
    array = float32_array(table.array, table.name)
    if array.ndim != 2 or node.attribute("axis", 0) not in (0, -2) or ids.layers:
        raise node.refused("it looks up something else than rows of a matrix by an input of the graph")
    layer = ImportedLayer(EmbeddingSpec(count=array.shape[0], out_size=array.shape[1]), {"W": array}, node.name)
    axes = tuple(axis for axis in ids.axes if not any(part.kind == "numbers" for part in axis))
    return replace(ids, layers=(layer,), axes=(*axes, (Part("numbers", array.shape[1]),)))


def _dense(node: Node, signal: Signal, weight: Array) -> Signal:
    """Return the output of a dense layer without bias."""
    _check_computed(node, signal)
    if not signal.numbers_last or signal.width not in (None, weight.shape[1]):
        raise node.refused(
            "the last axis of the signal is not what the matrix multiplies",
            expected=f"{weight.shape[1]} numbers along the last axis",
            actual=str(signal.width),
        )
    layer = ImportedLayer(DenseSpec(out_size=weight.shape[0], bias=False), {"W": weight}, node.name)
    return signal.with_layers(layer, width=weight.shape[0])


def _matrix(node: Node, inputs: Inputs, place: int) -> Array:
    value = inputs[place] if place < len(inputs) else None
    if value is None:
        raise node.refused("its matrix is left out")
    constant = need_constant(node, value, "matrix")
    array = float32_array(constant.array, constant.name)
    if array.ndim != 2 or 0 in array.shape:
        raise node.refused("it multiplies by something else than a matrix", actual=str(list(array.shape)))
    return array


def _check_first(node: Node, signal: Signal, inputs: Inputs) -> None:
    if inputs[0] is not signal:
        raise node.refused("the signal stands on the right of the product", expected="signal @ constant")


def _check_computed(node: Node, signal: Signal) -> None:
    """Raise ImportRefused for a signal of which nothing can be computed."""
    if signal.when == "ends":
        raise node.refused(
            "it reads the final state of a layer that reads from the end: its step is the first one, not the last"
        )
