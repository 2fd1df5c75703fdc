"""The graph of a step: immutable nodes, the operations that they apply, and an order to visit them in.

A node's shape is symbolic: `()` for a scalar, `(size,)` for a vector and `(rows, columns)` for a matrix parameter,
where each size is a name such as "in" or "hidden". Kernels read the numbers at run time, so one kernel serves every
size of a cell.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

Shape = tuple[str, ...]


Array = NDArray[Any]
OperationKind = Literal["leaf", "map", "reduction", "product"]
Cotangents = tuple["Node | None", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation: a row of the table in `cellar.engine.ir.ops`, which is all that the compiler knows of it."""

    name: str
    """Stands in the canonical form of cells, which the digests of models cover: it never changes."""
    kind: OperationKind
    """A map works element by element, a reduction makes one number of a vector, a product multiplies by a matrix."""
    arity: int
    numpy: Callable[..., Array]
    """The meaning, on arrays of shape (B, n) and (B, 1)."""
    vjp: Callable[["Node", "Node"], Cotangents]
    """Takes a node and the cotangent of its value; returns the cotangents of its sources, None where there is none."""
    kernel: str = ""
    """The function of `kernel_library` that computes sixteen lanes, of a reduction the one across the lanes; "" where
    the code generator computes it itself."""
    exact: bool = False
    """NumPy's float32 has the bits that kernels compute, because IEEE 754 defines them; constants are folded."""
    function: str = ""
    """Its name in the cell language; "" if it is written as an operator, or if only passes create it."""
    combine: str = ""
    """Of a reduction: the kernel function that adds a block to the partial results in the lanes."""
    identity: str = ""
    """Of a reduction: the kernel expression for the value of no elements."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value of a step. Equality is identity: `simplify` is what makes equal nodes one."""

    op: Operation
    shape: Shape
    sources: tuple["Node", ...] = ()
    name: str = ""
    """The name of the value that an INPUT, STATE, PARAM or COTANGENT leaf is; the size that a LENGTH measures."""
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
