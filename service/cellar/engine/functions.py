"""The functions that cell text may call, and how each becomes nodes of the graph."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from cellar.engine.graph import Node, Op
from cellar.engine.ops import apply, const, total

LAYERNORM_EPSILON = 1e-5
"""Added to the variance, as PyTorch and Flux do by default."""

Result = Literal["same", "scalar"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language. `takes_vector`: the argument must be a vector, and all of it is read."""

    arity: int
    build: Callable[..., Node]
    takes_vector: bool = False
    result: Result = "same"


def _map(op: Op) -> Callable[..., Node]:
    return lambda *sources: apply(op, *sources)


def mean(v: Node) -> Node:
    """Return sum(v) / n."""
    return apply(Op.DIV, total(v), Node(Op.LENGTH, (), name=v.shape[0]))


def softmax(v: Node) -> Node:
    """Return exp(v - max v) / sum(exp(v - max v))."""
    grown = apply(Op.EXP, apply(Op.SUB, v, Node(Op.PEAK, (), (v,))))
    return apply(Op.DIV, grown, total(grown))


def logsumexp(v: Node) -> Node:
    """Return max v + log(sum(exp(v - max v)))."""
    peak = Node(Op.PEAK, (), (v,))
    return apply(Op.ADD, peak, apply(Op.LOG, total(apply(Op.EXP, apply(Op.SUB, v, peak)))))


def layernorm(v: Node) -> Node:
    """Return (v - mean v) / sqrt(var v + 1e-5) with the population variance (arXiv:1607.06450)."""
    centred = apply(Op.SUB, v, mean(v))
    variance = mean(apply(Op.MUL, centred, centred))
    return apply(Op.DIV, centred, apply(Op.SQRT, apply(Op.ADD, variance, const(LAYERNORM_EPSILON))))


FUNCTIONS: dict[str, Function] = {
    "abs": Function(1, _map(Op.ABS)),
    "exp": Function(1, _map(Op.EXP)),
    "layernorm": Function(1, layernorm, takes_vector=True),
    "log": Function(1, _map(Op.LOG)),
    "logsumexp": Function(1, logsumexp, takes_vector=True, result="scalar"),
    "max": Function(2, _map(Op.MAX)),
    "mean": Function(1, mean, takes_vector=True, result="scalar"),
    "min": Function(2, _map(Op.MIN)),
    "relu": Function(1, _map(Op.RELU)),
    "sigmoid": Function(1, _map(Op.SIGMOID)),
    "softmax": Function(1, softmax, takes_vector=True),
    "softplus": Function(1, _map(Op.SOFTPLUS)),
    "sqrt": Function(1, _map(Op.SQRT)),
    "sum": Function(1, total, takes_vector=True, result="scalar"),
    "tanh": Function(1, _map(Op.TANH)),
}


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known name, or nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
