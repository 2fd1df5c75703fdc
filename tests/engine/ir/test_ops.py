"""The table of operations: complete, and every gradient rule the derivative of its meaning."""

import numpy as np
import pytest

from cellar.engine import Cell
from cellar.engine.ir.graph import Node, Operation, Step, toposort
from cellar.engine.ir.ops import OPS, Op, apply, broadcast, const, product, product_t, reduce
from cellar.engine.kernel_library import elementary_functions, simd
from tests.engine import oracle

SIZES = {"n": 5, "m": 3}
X = Node(Op.INPUT, ("n",), name="x")
VECTORS = tuple(Node(Op.PARAM, ("n",), name=name) for name in "abcd")
SCALAR = Node(Op.PARAM, (), name="s")
MATRIX = Node(Op.PARAM, ("n", "m"), name="W")
SHORT = Node(Op.PARAM, ("m",), name="e")

MAPS = [op for op in OPS if op.kind == "map" and op is not Op.BROADCAST]
POSITIVE = (Op.LOG, Op.SQRT)


def test_every_operation_has_a_name_and_a_kernel_function_of_its_own() -> None:
    assert len({op.name for op in OPS}) == len(OPS)
    functions = vars(simd) | vars(elementary_functions)
    for op in OPS:
        assert op.kind in ("leaf", "product") or op is Op.BROADCAST or op.kernel in functions
        assert op.kind != "reduction" or (op.combine in functions and op.identity)


def agrees(output: Node, *params: Node, positive: bool = False) -> None:
    """Assert that the gradient of one output agrees with the numerical derivative for every parameter."""
    leaves = tuple(node for node in toposort([output]) if node.op is Op.PARAM)
    cell = Cell(Step((X,), leaves, (), output), SIZES, 0)
    data = oracle.draw(cell, 1, 2, seed=len(params))
    for name, value in data.weights.items():
        data.weights[name] = np.abs(value) + np.float32(0.5) if positive else value
    found = oracle.gradients(oracle.backward(cell, data, oracle.forward(cell, data)))
    rng = np.random.default_rng(1)
    for param in params:
        direction = rng.normal(size=found[param.name].shape)
        expected = oracle.numerical(cell, data, param.name, direction)
        np.testing.assert_allclose((found[param.name] * direction).sum(), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("op", MAPS, ids=str)
def test_gradients_of_elementwise_operations(op: Operation) -> None:
    arity, positive = op.arity, op in POSITIVE
    agrees(apply(op, *VECTORS[:arity]), *VECTORS[:arity], positive=positive)
    if arity == 1:
        agrees(apply(op, SCALAR), SCALAR, positive=positive)
    if arity == 2:
        agrees(apply(op, VECTORS[0], SCALAR), VECTORS[0], SCALAR)
        agrees(apply(op, SCALAR, VECTORS[0]), SCALAR, VECTORS[0])
    if arity == 4:
        agrees(apply(op, SCALAR, const(0.0), VECTORS[0], SCALAR), VECTORS[0], SCALAR)


OTHERS: dict[str, tuple[Node, tuple[Node, ...]]] = {
    "broadcast": (broadcast(SCALAR, ("n",)), (SCALAR,)),
    "sum": (reduce(Op.SUM, apply(Op.EXP, VECTORS[0])), (VECTORS[0],)),
    "product": (product(MATRIX, apply(Op.EXP, SHORT)), (SHORT, MATRIX)),
    # A cell reads matrices only as they are: a transposed one has no gradient of its own.
    "product_t": (product_t(MATRIX, apply(Op.EXP, VECTORS[0])), (VECTORS[0],)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_gradients_of_folds_and_products(name: str) -> None:
    output, params = OTHERS[name]
    agrees(output, *params)


def test_equal_operands_share_the_gradient_of_max_and_min() -> None:
    for op in (Op.MAX, Op.MIN):
        cell = Cell(Step((X,), VECTORS[:2], (), apply(op, *VECTORS[:2])), SIZES, 0)
        data = oracle.draw(cell, 1, 1)
        data.weights["b"] = data.weights["a"]
        found = oracle.backward(cell, data, oracle.forward(cell, data)).params
        np.testing.assert_array_equal(found["a"], data.d_outputs[0, 0] / 2)
        np.testing.assert_array_equal(found["b"], data.d_outputs[0, 0] / 2)


def test_kinks_have_no_gradient() -> None:
    for op in (Op.ABS, Op.RELU):
        cell = Cell(Step((X,), VECTORS[:1], (), apply(op, VECTORS[0])), SIZES, 0)
        data = oracle.draw(cell, 1, 1)
        data.weights["a"] = np.zeros(5, np.float32)
        assert not oracle.backward(cell, data, oracle.forward(cell, data)).params["a"].any()
