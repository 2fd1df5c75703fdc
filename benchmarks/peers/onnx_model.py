"""Builds the ONNX model of a case from the operators LSTM and GRU: inputs x, s0, s1, ...; outputs y, t0, t1, ..."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from benchmarks.cases import Case
from benchmarks.weights import Array, Weights

# Indices that put PyTorch's gates i f g o into ONNX's order i o f c, and r z n into z r h.
_OPERATORS = {"lstm": ("LSTM", [0, 3, 1, 2]), "gru_torch": ("GRU", [1, 0, 2])}

_OPSET, _IR_VERSION = 17, 8


def state_names(case: Case) -> tuple[list[str], list[str]]:
    """Return the names of the states before and after, layer by layer, `h` before `c`."""
    count = case.layers * (2 if case.cell == "lstm" else 1)
    return [f"s{index}" for index in range(count)], [f"t{index}" for index in range(count)]


def model(case: Case, weights: Weights) -> bytes:
    """Return the model with fixed shapes, with which the runtimes are fastest."""
    operator, order = _OPERATORS[case.cell]
    before, after = state_names(case)
    each = len(before) // case.layers
    nodes: list[Any] = []
    tensors: dict[str, Array] = {}
    signal = "x"
    for index, layer in enumerate(weights.layers):
        tensors[f"W{index}"] = layer.wi[order].reshape(1, -1, layer.wi.shape[2])
        tensors[f"R{index}"] = layer.wh[order].reshape(1, -1, case.hidden)
        tensors[f"B{index}"] = np.concatenate([layer.bi[order], layer.bh[order]]).reshape(1, -1)
        states = slice(each * index, each * (index + 1))
        inputs = [signal, f"W{index}", f"R{index}", f"B{index}", "", *before[states]]
        attributes: dict[str, Any] = {"hidden_size": case.hidden}
        if operator == "GRU":
            attributes["linear_before_reset"] = 1
        nodes.append(helper.make_node(operator, inputs, [f"Y{index}", *after[states]], **attributes))
        signal = "y" if index == case.layers - 1 and weights.head is None else f"y{index}"
        nodes.append(helper.make_node("Squeeze", [f"Y{index}", "one"], [signal]))
    if weights.head is not None:
        tensors |= {"head": weights.head[0].T, "bias": weights.head[1]}
        nodes.append(helper.make_node("MatMul", [signal, "head"], ["product"]))
        nodes.append(helper.make_node("Add", ["product", "bias"], ["y"]))
    return _serialised(case, nodes, tensors)


def _serialised(case: Case, nodes: list[Any], tensors: dict[str, Array]) -> bytes:
    before, after = state_names(case)
    sequence, state = [case.steps, case.rows], [1, case.rows, case.hidden]
    constants = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in tensors.items()]
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    graph = helper.make_graph(
        nodes,
        "case",
        [_value("x", [*sequence, case.in_size]), *(_value(name, state) for name in before)],
        [_value("y", [*sequence, 1 if case.head else case.hidden]), *(_value(name, state) for name in after)],
        constants,
    )
    opset = [helper.make_opsetid("", _OPSET)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION).SerializeToString())


def _value(name: str, shape: list[int]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
