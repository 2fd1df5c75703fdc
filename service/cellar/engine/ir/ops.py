"""The one table of operations: arity, kind, NumPy meaning, kernel text and gradient rule of each.

Signed zeros and NaN are fixed here. `relu(-0) = -0`; of two equal operands `max` and `min` give the second; every
operation hands NaN on. `select(a, b, p, q)` is `p if a > b else q`.

The NumPy column is the meaning of an operation, on arrays of shape (B, n) and (B, 1): `simplify` folds constants with
it, and the tests' interpreter evaluates cells with it. The kernel column names functions of
`cellar.engine.kernel_library.simd` and `cellar.engine.kernel_library.elementary_functions`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cellar.engine.ir.graph import Node, Op, Shape

Array = NDArray[Any]
Kind = Literal["leaf", "map", "reduction", "product"]
Cotangents = tuple[Node | None, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table."""

    arity: int
    kind: Kind
    numpy: Callable[..., Array]
    kernel: str
    vjp: Callable[[Node, Node], Cotangents]
    """From a node and the cotangent of its value to the cotangents of its sources; None where there is none."""


def const(value: float) -> Node:
    """Return a scalar constant, rounded once to float32."""
    return Node(Op.CONST, (), value=float(np.float32(value)))


def apply(op: Op, *sources: Node) -> Node:
    """Return an elementwise node; scalars broadcast over the one vector size among the sources."""
    shape: Shape = next((source.shape for source in sources if source.shape), ())
    return Node(op, shape, sources)


def reduce_sum(source: Node) -> Node:
    """Return the sum over a vector's elements."""
    return Node(Op.SUM, (), (source,))


def broadcast(source: Node, shape: Shape) -> Node:
    """Return a scalar repeated over a vector."""
    return Node(Op.BROADCAST, shape, (source,))


def product(matrix: Node, vector: Node) -> Node:
    """Return matrix times vector: (m, n) and (n,) to (m,)."""
    return Node(Op.PRODUCT, (matrix.shape[0],), (matrix, vector))


def product_t(matrix: Node, vector: Node) -> Node:
    """Return the transposed matrix times vector: (m, n) and (m,) to (n,)."""
    return Node(Op.PRODUCT_T, (matrix.shape[1],), (matrix, vector))


def _mul(a: Node, b: Node) -> Node:
    return apply(Op.MUL, a, b)


def _where(a: Node, b: Node, then: Node, otherwise: Node) -> Node:
    return apply(Op.SELECT, a, b, then, otherwise)


def _no_vjp(node: Node, _: Node) -> Cotangents:
    return (None,) * len(node.sources)


def _div_vjp(node: Node, g: Node) -> Cotangents:
    _, b = node.sources
    quotient = apply(Op.DIV, g, b)
    return quotient, apply(Op.NEG, _mul(quotient, node))


def _relu_vjp(node: Node, g: Node) -> Cotangents:
    return (_where(node, const(0.0), g, const(0.0)),)


def _abs_vjp(node: Node, g: Node) -> Cotangents:
    (a,) = node.sources
    zero = const(0.0)
    return (_where(a, zero, g, _where(zero, a, apply(Op.NEG, g), zero)),)


def _extreme_vjp(node: Node, g: Node) -> Cotangents:
    """Of max: all to the larger operand, half to each of two equal ones. Of min: with the operands swapped."""
    a, b = node.sources
    large, small = (a, b) if node.op is Op.MAX else (b, a)
    half, zero = _mul(g, const(0.5)), const(0.0)
    to_a = _where(large, small, g, _where(small, large, zero, half))
    to_b = _where(small, large, g, _where(large, small, zero, half))
    return to_a, to_b


def _select_vjp(node: Node, g: Node) -> Cotangents:
    a, b, _, _ = node.sources
    return None, None, _where(a, b, g, const(0.0)), _where(a, b, const(0.0), g)


def _reduce_sum(a: Array) -> Array:
    return np.asarray(a.sum(axis=-1, keepdims=True))


def _reduce_max(a: Array) -> Array:
    return np.asarray(a.max(axis=-1, keepdims=True))


def _sigmoid(a: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-a)))


def _softplus(a: Array) -> Array:
    return np.asarray(np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a))))


def _max(a: Array, b: Array) -> Array:
    return np.where((a > b) | (a != a), a, b)


def _min(a: Array, b: Array) -> Array:
    return np.where((a < b) | (a != a), a, b)


def _select(a: Array, b: Array, p: Array, q: Array) -> Array:
    return np.where(a > b, p, q)


def _unread(*_: Array) -> Array:
    raise AssertionError("a leaf is bound, not computed")


_LEAF = Rule(0, "leaf", _unread, "", _no_vjp)

OPS: dict[Op, Rule] = {
    Op.INPUT: _LEAF,
    Op.STATE: _LEAF,
    Op.PARAM: _LEAF,
    Op.CONST: _LEAF,
    Op.LENGTH: _LEAF,
    Op.COTANGENT: _LEAF,
    Op.ADD: Rule(2, "map", np.add, "add", lambda _, g: (g, g)),
    Op.SUB: Rule(2, "map", np.subtract, "sub", lambda _, g: (g, apply(Op.NEG, g))),
    Op.MUL: Rule(2, "map", np.multiply, "mul", lambda n, g: (_mul(g, n.sources[1]), _mul(g, n.sources[0]))),
    Op.DIV: Rule(2, "map", np.divide, "div", _div_vjp),
    Op.NEG: Rule(1, "map", np.negative, "neg", lambda _, g: (apply(Op.NEG, g),)),
    Op.EXP: Rule(1, "map", np.exp, "exp", lambda n, g: (_mul(g, n),)),
    Op.LOG: Rule(1, "map", np.log, "log", lambda n, g: (apply(Op.DIV, g, n.sources[0]),)),
    Op.SQRT: Rule(1, "map", np.sqrt, "sqrt", lambda n, g: (apply(Op.DIV, _mul(g, const(0.5)), n),)),
    Op.ABS: Rule(1, "map", np.abs, "absolute", _abs_vjp),
    Op.TANH: Rule(1, "map", np.tanh, "tanh", lambda n, g: (_mul(g, apply(Op.SUB, const(1.0), _mul(n, n))),)),
    Op.SIGMOID: Rule(1, "map", _sigmoid, "sigmoid", lambda n, g: (_mul(g, _mul(n, apply(Op.SUB, const(1.0), n))),)),
    Op.SOFTPLUS: Rule(1, "map", _softplus, "softplus", lambda n, g: (_mul(g, apply(Op.SIGMOID, n.sources[0])),)),
    Op.RELU: Rule(1, "map", lambda a: np.where(a < 0, a.dtype.type(0), a), "relu", _relu_vjp),
    Op.MIN: Rule(2, "map", _min, "minimum", _extreme_vjp),
    Op.MAX: Rule(2, "map", _max, "maximum", _extreme_vjp),
    Op.SELECT: Rule(4, "map", _select, "select", _select_vjp),
    Op.BROADCAST: Rule(1, "map", lambda a: a, "", lambda _, g: (reduce_sum(g),)),
    Op.SUM: Rule(1, "reduction", _reduce_sum, "sum_lanes", lambda n, g: (broadcast(g, n.sources[0].shape),)),
    # The maximum shifts softmax and logsumexp, whose value does not depend on it: it has no gradient of its own.
    Op.REDUCE_MAX: Rule(1, "reduction", _reduce_max, "max_lanes", _no_vjp),
    Op.PRODUCT: Rule(2, "product", lambda w, v: v @ w.T, "", lambda n, g: (None, product_t(n.sources[0], g))),
    Op.PRODUCT_T: Rule(2, "product", lambda w, v: v @ w, "", lambda n, g: (None, product(n.sources[0], g))),
}
