"""The functions of the cell language, such as tanh and softmax, and the operations of the graph that each becomes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cellar.engine.ir.graph import Node, Operation
from cellar.engine.ir.ops import OPS, Op, apply, const, reduce
from cellar.engine.numerics import LAYERNORM_EPSILON

ResultShape = Literal["same", "scalar"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language. `takes_vector`: the argument must be a vector, and all of it is read."""

    arity: int
    build: Callable[..., Node]
    takes_vector: bool = False
    result: ResultShape = "same"


def _of(op: Operation) -> Function:
    """Return the function that applies one operation."""
    if op.kind == "reduction":
        return Function(1, lambda v: reduce(op, v), takes_vector=True, result="scalar")
    return Function(op.arity, lambda *sources: apply(op, *sources))


def mean(v: Node) -> Node:
    """Return sum(v) / n."""
    return apply(Op.DIV, reduce(Op.SUM, v), Node(Op.LENGTH, (), name=v.shape[0]))


def softmax(v: Node) -> Node:
    """Return exp(v - max v) / sum(exp(v - max v))."""
    grown = apply(Op.EXP, apply(Op.SUB, v, reduce(Op.REDUCE_MAX, v)))
    return apply(Op.DIV, grown, reduce(Op.SUM, grown))


def logsumexp(v: Node) -> Node:
    """Return max v + log(sum(exp(v - max v)))."""
    peak = reduce(Op.REDUCE_MAX, v)
    return apply(Op.ADD, peak, apply(Op.LOG, reduce(Op.SUM, apply(Op.EXP, apply(Op.SUB, v, peak)))))


def layernorm(v: Node) -> Node:
    """Return (v - mean v) / sqrt(var v + 1e-5) with the population variance (arXiv:1607.06450)."""
    centred = apply(Op.SUB, v, mean(v))
    variance = mean(apply(Op.MUL, centred, centred))
    return apply(Op.DIV, centred, apply(Op.SQRT, apply(Op.ADD, variance, const(LAYERNORM_EPSILON))))


_COMPOSED: dict[str, Function] = {
    "layernorm": Function(1, layernorm, takes_vector=True),
    "logsumexp": Function(1, logsumexp, takes_vector=True, result="scalar"),
    "mean": Function(1, mean, takes_vector=True, result="scalar"),
    "softmax": Function(1, softmax, takes_vector=True),
}
"""Functions that are several operations."""

FUNCTIONS: dict[str, Function] = dict(sorted((_COMPOSED | {op.function: _of(op) for op in OPS if op.function}).items()))
"""All functions: those above, and the operations whose row in the table has a function's name."""


ELSEWHERE: dict[str, str] = {
    "amax": "'max' takes two arguments; there is no function for the largest number of a vector",
    "cat": "there is no concatenation: give each part a matrix of its own, as in 'W @ x + U @ h'",
    "clamp": "write 'max(low, min(high, v))'",
    "clip": "write 'max(low, min(high, v))'",
    "concat": "there is no concatenation: give each part a matrix of its own, as in 'W @ x + U @ h'",
    "concatenate": "there is no concatenation: give each part a matrix of its own, as in 'W @ x + U @ h'",
    "dot": "a matrix times a vector is written 'W @ x'; the sum over two vectors 'sum(a * b)'",
    "elu": "write it out of 'max', 'min' and 'exp'",
    "hadamard": "element by element, write 'a * b'",
    "hcat": "there is no concatenation: give each part a matrix of its own, as in 'W @ x + U @ h'",
    "linear": "write 'W @ x + b'",
    "ln": "did you mean 'log'?",
    "logistic": "did you mean 'sigmoid'?",
    "matmul": "a matrix times a vector is written 'W @ x'",
    "maximum": "did you mean 'max'?",
    "minimum": "did you mean 'min'?",
    "mul": "write 'a * b'",
    "multiply": "write 'a * b'",
    "pow": "there is no power; write the product out",
    "silu": "write 'v * sigmoid(v)'",
    "square": "write 'v * v'",
    "swish": "write 'v * sigmoid(v)'",
    "vcat": "there is no concatenation: give each part a matrix of its own, as in 'W @ x + U @ h'",
}
"""Functions of other languages, and what to write instead."""
