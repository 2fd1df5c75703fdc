"""Small graphs of ONNX for tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Type = TensorProto
OPSET = 18
Dims = Sequence[int | str | None]


def value(name: str, dims: Dims, kind: int = Type.FLOAT) -> Any:
    """Return an input or output."""
    return helper.make_tensor_value_info(name, kind, list(dims))


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """Return a node; names are separated by spaces, `-` is one that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(operator, names, outputs.split(), **attributes)


def constant(name: str, array: Any) -> Any:
    """Return a tensor in the file."""
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], constants: Sequence[Any] = ()) -> Any:
    """Return a ModelProto."""
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def lstm(batch: Dims = ("batch",), names: Sequence[str] = ("h0", "c0", "hn", "cn"), seed: int = 0) -> bytes:
    """Return a step of an LSTM of 4 units and a matrix: `x` (B, 3) to `y` (B, 2)."""
    rng = np.random.default_rng(seed)
    weights = {
        "W": rng.normal(0, 0.5, (1, 16, 3)),
        "R": rng.normal(0, 0.5, (1, 16, 4)),
        "B": rng.normal(0, 0.5, (1, 32)),
        "V": rng.normal(0, 0.5, (4, 2)),
    }
    tensors = [constant(name, array.astype(np.float32)) for name, array in weights.items()]
    tensors += [constant("first", np.array([0], np.int64))]
    h, c, hn, cn = names
    nodes = [
        node("Unsqueeze", "x first", "xs"),
        node("LSTM", f"xs W R B - {h} {c}", f"- {hn} {cn}", hidden_size=4, name="lstm"),
        node("Squeeze", f"{hn} first", "last"),
        node("MatMul", "last V", "y"),
    ]
    (rows,) = batch
    state = (1, rows, 4)
    inputs = [value("x", (rows, 3)), value(h, state), value(c, state)]
    outputs = [value("y", (rows, 2)), value(hn, state), value(cn, state)]
    return bytes(model(nodes, inputs, outputs, tensors).SerializeToString())


def counter() -> bytes:
    """Return a graph with states of integers: n' = 5 n + k, m' = m - 3, b' = not b, and d' = d / 3 + 1 as float64."""
    tensors = [
        constant("five", np.array(5, np.int64)),
        constant("three", np.array(3, np.int32)),
        constant("third", np.array(1 / 3)),
        constant("one", np.array(1.0)),
        constant("base", np.array(1000, np.int64)),
    ]
    nodes = [
        node("Mul", "n five", "n5"),
        node("Add", "n5 k", "n_out"),
        node("Sub", "m three", "m_out"),
        node("Not", "b", "b_out"),
        node("Mul", "d third", "d3"),
        node("Add", "d3 one", "d_out"),
        node("Mod", "n_out base", "rest"),
        node("Cast", "rest", "y", to=Type.FLOAT),
    ]
    states = [("n", (2, "batch"), Type.INT64), ("m", ("batch",), Type.INT32), ("b", ("batch", 1), Type.BOOL)]
    states += [("d", ("batch", 2), Type.DOUBLE)]
    inputs = [value("k", (2, "batch"), Type.INT64), *(value(*each) for each in states)]
    outputs = [value("y", (2, "batch")), *(value(f"{name}_out", dims, kind) for name, dims, kind in states)]
    return bytes(model(nodes, inputs, outputs, tensors).SerializeToString())


def table() -> bytes:
    """Return a graph whose input is the index of one of three rows: an index beyond them fails."""
    nodes = [
        node("Gather", "T id", "row", axis=0),
        node("Add", "row s", "s_out"),
        node("Identity", "s_out", "y"),
    ]
    inputs = [value("id", ("batch",), Type.INT64), value("s", ("batch", 2))]
    rows = constant("T", np.arange(6, dtype=np.float32).reshape(3, 2))
    outputs = [value("y", ("batch", 2)), value("s_out", ("batch", 2))]
    return bytes(model(nodes, inputs, outputs, [rows]).SerializeToString())


def loop() -> bytes:
    """Return a graph that adds one as often as its input tells."""
    body = helper.make_graph(
        [node("Identity", "go", "go_on"), node("Add", "a one", "a_next")],
        "body",
        [value("i", (), Type.INT64), value("go", (), Type.BOOL), value("a", (1, 1))],
        [value("go_on", (), Type.BOOL), value("a_next", (1, 1))],
        [constant("one", np.ones((1, 1), np.float32))],
    )
    nodes = [node("Loop", "count - s", "s_out", body=body, name="again"), node("Identity", "s_out", "y")]
    inputs = [value("count", (), Type.INT64), value("s", (1, 1))]
    return bytes(model(nodes, inputs, [value("y", (1, 1)), value("s_out", (1, 1))]).SerializeToString())


def session(data: bytes) -> Any:
    """Return what runs a graph without Cellar."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
