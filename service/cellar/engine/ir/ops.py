"""The table of operations: for each its meaning in NumPy, its gradient, its kernel function, and if it is exact.

Signed zeros and NaN are fixed here. `relu(-0) = -0`; of two equal operands `max` and `min` give the second; every
operation hands NaN on. `select(a, b, p, q)` is `p if a > b else q`.

`simplify` folds constants with the NumPy meaning, and the tests' interpreter evaluates cells with it. Kernel functions
are those of `cellar.engine.kernel_library`; this module names them only, so that no process but the compiler's imports
Numba.
"""

import numpy as np

from cellar.engine.ir.graph import Array, Cotangents, Node, Operation, Shape


def const(value: float) -> Node:
    """Return a scalar constant, rounded once to float32."""
    return Node(Op.CONST, (), value=float(np.float32(value)))


def apply(op: Operation, *sources: Node) -> Node:
    """Return an elementwise node; scalars broadcast over the one vector size among the sources."""
    shape: Shape = next((source.shape for source in sources if source.shape), ())
    return Node(op, shape, sources)


def reduce(op: Operation, source: Node) -> Node:
    """Return the one number that a reduction makes of a vector."""
    return Node(op, (), (source,))


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


def _mul_vjp(node: Node, g: Node) -> Cotangents:
    a, b = node.sources
    return _mul(g, b), _mul(g, a)


def _div_vjp(node: Node, g: Node) -> Cotangents:
    _, b = node.sources
    quotient = apply(Op.DIV, g, b)
    return quotient, apply(Op.NEG, _mul(quotient, node))


def _sqrt_vjp(node: Node, g: Node) -> Cotangents:
    return (apply(Op.DIV, _mul(g, const(0.5)), node),)


def _tanh_vjp(node: Node, g: Node) -> Cotangents:
    return (_mul(g, apply(Op.SUB, const(1.0), _mul(node, node))),)


def _sigmoid_vjp(node: Node, g: Node) -> Cotangents:
    return (_mul(g, _mul(node, apply(Op.SUB, const(1.0), node))),)


def _softplus_vjp(node: Node, g: Node) -> Cotangents:
    return (_mul(g, apply(Op.SIGMOID, node.sources[0])),)


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


def _relu(a: Array) -> Array:
    return np.where(a < 0, a.dtype.type(0), a)


def _max(a: Array, b: Array) -> Array:
    return np.where((a > b) | (a != a), a, b)


def _min(a: Array, b: Array) -> Array:
    return np.where((a < b) | (a != a), a, b)


def _select(a: Array, b: Array, p: Array, q: Array) -> Array:
    return np.where(a > b, p, q)


def _unread(*_: Array) -> Array:
    raise AssertionError("a leaf is bound, not computed")


def _leaf(name: str) -> Operation:
    return Operation(name, "leaf", 0, _unread, _no_vjp)


class Op:
    """All operations, one row each. `OPS` is the same table as a tuple."""

    INPUT = _leaf("input")
    STATE = _leaf("state")
    PARAM = _leaf("param")
    CONST = _leaf("const")
    LENGTH = _leaf("length")
    COTANGENT = _leaf("cotangent")

    ADD = Operation("add", "map", 2, np.add, lambda _, g: (g, g), "add", exact=True)
    SUB = Operation("sub", "map", 2, np.subtract, lambda _, g: (g, apply(Op.NEG, g)), "sub", exact=True)
    MUL = Operation("mul", "map", 2, np.multiply, _mul_vjp, "mul", exact=True)
    DIV = Operation("div", "map", 2, np.divide, _div_vjp, "div", exact=True)
    NEG: Operation = Operation("neg", "map", 1, np.negative, lambda _, g: (apply(Op.NEG, g),), "neg", exact=True)
    EXP = Operation("exp", "map", 1, np.exp, lambda n, g: (_mul(g, n),), "exp", function="exp")
    LOG = Operation("log", "map", 1, np.log, lambda n, g: (apply(Op.DIV, g, n.sources[0]),), "log", function="log")
    SQRT = Operation("sqrt", "map", 1, np.sqrt, _sqrt_vjp, "sqrt", exact=True, function="sqrt")
    ABS = Operation("abs", "map", 1, np.abs, _abs_vjp, "absolute", exact=True, function="abs")
    TANH = Operation("tanh", "map", 1, np.tanh, _tanh_vjp, "tanh", function="tanh")
    SIGMOID = Operation("sigmoid", "map", 1, _sigmoid, _sigmoid_vjp, "sigmoid", function="sigmoid")
    SOFTPLUS = Operation("softplus", "map", 1, _softplus, _softplus_vjp, "softplus", function="softplus")
    RELU = Operation("relu", "map", 1, _relu, _relu_vjp, "relu", exact=True, function="relu")
    MIN = Operation("min", "map", 2, _min, _extreme_vjp, "minimum", exact=True, function="min")
    MAX = Operation("max", "map", 2, _max, _extreme_vjp, "maximum", exact=True, function="max")
    SELECT = Operation("select", "map", 4, _select, _select_vjp, "select", exact=True)
    BROADCAST = Operation("broadcast", "map", 1, lambda a: a, lambda _, g: (reduce(Op.SUM, g),))

    SUM: Operation = Operation(
        "sum",
        "reduction",
        1,
        _reduce_sum,
        lambda n, g: (broadcast(g, n.sources[0].shape),),
        "sum_lanes",
        function="sum",
        combine="add",
        identity="zero()",
    )
    # Softmax and logsumexp subtract the maximum, and their values do not depend on it: it has no gradient of its own.
    REDUCE_MAX = Operation(
        "peak", "reduction", 1, _reduce_max, _no_vjp, "max_lanes", combine="maximum", identity="splat(float32(-inf))"
    )

    PRODUCT = Operation("product", "product", 2, lambda w, v: v @ w.T, lambda n, g: (None, product_t(n.sources[0], g)))
    PRODUCT_T = Operation("product_t", "product", 2, lambda w, v: v @ w, lambda n, g: (None, product(n.sources[0], g)))


OPS: tuple[Operation, ...] = tuple(row for row in vars(Op).values() if isinstance(row, Operation))
