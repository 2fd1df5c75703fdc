"""Differentiates a step in reverse mode: from the graph of the step to the graph of its adjoint.

The adjoint reads values of the step; `schedule` decides which of them the forward pass must save.
A matrix has no cotangent here: its gradient is the sum, over all steps and rows, of the outer products of the pairs
(cotangent of the product, vector that was multiplied), and that sum is taken after the time loop.
"""

from dataclasses import dataclass, field

from cellar.engine.ir.graph import Node, Step, toposort
from cellar.engine.ir.ops import Op, apply, broadcast, const, reduce


@dataclass(frozen=True, slots=True)
class Adjoint:
    """The adjoint of a step. The cotangent of a leaf that the output and the states do not depend on is zeros."""

    cotangents: dict[str, Node]
    """Leaves: the cotangent of each new state by name, and that of the output under `OUTPUT_COTANGENT`."""
    inputs: tuple[Node, ...]
    states: tuple[Node, ...]
    """Cotangents of the previous states, in the order of the step's states."""
    params: dict[str, Node]
    """Cotangents of vector and scalar parameters, for one step and row."""
    matrices: dict[str, tuple[tuple[Node, Node], ...]] = field(default_factory=dict)
    """For each matrix the pairs (cotangent of the product, vector), for one step and row."""

    @property
    def roots(self) -> tuple[Node, ...]:
        """Return every node that must be computed for a step and row."""
        pairs = (node for pair in self.matrices.values() for both in pair for node in both)
        return (*self.inputs, *self.states, *self.params.values(), *pairs)

    def mapped(self, new: dict[Node, Node]) -> "Adjoint":
        """Return the adjoint with its nodes replaced."""
        return Adjoint(
            {name: new[node] for name, node in self.cotangents.items()},
            tuple(new[node] for node in self.inputs),
            tuple(new[node] for node in self.states),
            {name: new[node] for name, node in self.params.items()},
            {name: tuple((new[g], new[v]) for g, v in pairs) for name, pairs in self.matrices.items()},
        )


OUTPUT_COTANGENT = "output"
"""Names the cotangent of the output; a state cannot have this name, because the language reserves it."""


def gradient(step: Step) -> Adjoint:
    """Return the adjoint of a step."""
    leaves = {s.name: Node(Op.COTANGENT, s.following.shape, name=s.name) for s in step.states}
    leaves[OUTPUT_COTANGENT] = Node(Op.COTANGENT, step.output.shape, name=OUTPUT_COTANGENT)
    reached: dict[Node, Node] = {}
    for state in step.states:
        _accumulate(reached, state.following, leaves[state.name])
    _accumulate(reached, step.output, leaves[OUTPUT_COTANGENT])
    pairs: dict[str, list[tuple[Node, Node]]] = {}
    for node in reversed(toposort(step.roots)):
        if node in reached and node.sources:
            _pull_back(node, reached, pairs)
    return Adjoint(
        leaves,
        tuple(reached.get(node, _zeros(node)) for node in step.inputs),
        tuple(reached.get(s.previous, _zeros(s.previous)) for s in step.states),
        {p.name: reached.get(p, _zeros(p)) for p in step.params if len(p.shape) < 2},
        {p.name: tuple(pairs.get(p.name, ())) for p in step.params if len(p.shape) == 2},
    )


def _pull_back(node: Node, reached: dict[Node, Node], pairs: dict[str, list[tuple[Node, Node]]]) -> None:
    g = reached[node]
    if node.op is Op.PRODUCT:
        matrix, vector = node.sources
        pairs.setdefault(matrix.name, []).append((g, vector))
    for source, cotangent in zip(node.sources, node.op.vjp(node, g), strict=True):
        if cotangent is not None and source.op not in (Op.CONST, Op.LENGTH):
            _accumulate(reached, source, _to_shape(cotangent, source))


def _to_shape(cotangent: Node, source: Node) -> Node:
    """Return a cotangent in its source's shape: the cotangent of a scalar that was broadcast is a sum."""
    if cotangent.shape and not source.shape:
        return reduce(Op.SUM, cotangent)
    if source.shape and not cotangent.shape:
        return broadcast(cotangent, source.shape)
    return cotangent


def _accumulate(reached: dict[Node, Node], node: Node, cotangent: Node) -> None:
    reached[node] = apply(Op.ADD, reached[node], cotangent) if node in reached else cotangent


def _zeros(node: Node) -> Node:
    return broadcast(const(0.0), node.shape)
