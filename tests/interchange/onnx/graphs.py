"""Small models of ONNX, and what the reference evaluator of the package onnx says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cellar.engine import KernelCache
from cellar.interchange.onnx import import_onnx
from tests.interchange.proofs.outcome import Ran, run

Array = NDArray[Any]
Shapes = Mapping[str, Sequence[int | str | None]]

STEPS, ROWS, READS, HIDDEN = 4, 2, 3, 5
RNG = np.random.default_rng(7)


def random(*shape: int) -> Array:
    """Return random float32 numbers."""
    return RNG.normal(size=shape).astype(np.float32) * np.float32(0.5)


W, R, B = random(1, 4 * HIDDEN, READS), random(1, 4 * HIDDEN, HIDDEN), random(1, 8 * HIDDEN)
LSTM = {"W": W, "R": R, "B": B}
"""The constants of an LSTM that reads `READS` numbers."""


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """Return a node; "_" is an input or output that is left out."""
    before, after = (["" if name == "_" else name for name in names.split()] for names in (inputs, outputs))
    return helper.make_node(operator, before, after, name=f"the {operator}", **attributes)


def model(
    nodes: Sequence[Any],
    constants: Mapping[str, Array],
    inputs: Shapes | None = None,
    outputs: Sequence[str] = ("Y",),
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = 22,
) -> ModelProto:
    """Return a model; by default its input is X with steps first."""
    shapes: Shapes = {"X": ["steps", "rows", READS]} if inputs is None else inputs
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def ints(*values: int) -> Array:
    """Return a vector of sizes."""
    return np.array(values, np.int64)


def both(made: ModelProto, inputs: Mapping[str, Array], x: Array, cache: KernelCache) -> tuple[list[Array], Ran]:
    """Return what the reference evaluator answers, and what Cellar does to x (T, B, F)."""
    expected = ReferenceEvaluator(made).run(None, dict(inputs))
    return [np.asarray(value) for value in expected], run(import_onnx(made.SerializeToString()), x, cache)
