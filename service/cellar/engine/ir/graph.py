"""The one graph type of the engine: immutable nodes, and an order to visit them in.

A node's shape is symbolic: `()` for a scalar, `(size,)` for a vector and `(rows, columns)` for a matrix parameter,
where each size is a name such as "in" or "hidden". Kernels read the numbers at run time, so one kernel serves every
size of a cell.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

Shape = tuple[str, ...]


class Op(StrEnum):
    """Every operation. What each one means stands in the table of `cellar.engine.ir.ops`."""

    INPUT = "input"
    STATE = "state"
    PARAM = "param"
    CONST = "const"
    LENGTH = "length"
    COTANGENT = "cotangent"

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    NEG = "neg"
    EXP = "exp"
    LOG = "log"
    SQRT = "sqrt"
    ABS = "abs"
    TANH = "tanh"
    SIGMOID = "sigmoid"
    SOFTPLUS = "softplus"
    RELU = "relu"
    MIN = "min"
    MAX = "max"
    SELECT = "select"
    BROADCAST = "broadcast"

    SUM = "sum"
    REDUCE_MAX = "peak"
    """Digests of models cover the canonical form of their cells, which has this word from the first version on."""

    PRODUCT = "product"
    PRODUCT_T = "product_t"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value of a step. Equality is identity: `simplify` is what makes equal nodes one."""

    op: Op
    shape: Shape
    sources: tuple["Node", ...] = ()
    name: str = ""
    """What an INPUT, STATE, PARAM or COTANGENT leaf stands for; the size that a LENGTH measures."""
    value: float = 0.0
    """The number of a CONST, already rounded to float32."""


def toposort(roots: Iterable[Node]) -> list[Node]:
    """Return every node below the roots once, sources before users, in an order fixed by the roots alone."""
    order: list[Node] = []
    done: set[Node] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, expanded = stack.pop()
        if node in done:
            continue
        if expanded:
            done.add(node)
            order.append(node)
            continue
        stack.append((node, True))
        stack.extend((source, False) for source in reversed(node.sources) if source not in done)
    return order


@dataclass(frozen=True, slots=True)
class StateSlot:
    """A state variable: the leaf that reads its previous value and the node that is its new one."""

    name: str
    previous: Node
    following: Node


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a cell: `output` and the new states as functions of inputs, previous states and parameters."""

    inputs: tuple[Node, ...]
    params: tuple[Node, ...]
    states: tuple[StateSlot, ...]
    output: Node

    @property
    def roots(self) -> tuple[Node, ...]:
        """Return the new states in order, then the output."""
        return (*(state.following for state in self.states), self.output)

    def mapped(self, new: dict[Node, Node]) -> "Step":
        """Return the step with its roots replaced; leaves keep their identity."""
        states = tuple(StateSlot(s.name, s.previous, new[s.following]) for s in self.states)
        return Step(self.inputs, self.params, states, new[self.output])
