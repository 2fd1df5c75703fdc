"""Checks that a graph is legal: arities, shapes and names as the table of operations demands."""

from collections.abc import Iterable

from cellar.engine.ir.graph import Node, toposort
from cellar.engine.ir.ops import Op


class GraphError(AssertionError):
    """A graph is not legal: a defect of the compiler, never of the user's text."""


def verify(roots: Iterable[Node], *, after: str = "") -> None:
    """Raise GraphError unless every node below the roots obeys the table of operations; `after` names the pass."""
    for number, node in enumerate(toposort(roots)):
        try:
            if len(node.sources) != node.op.arity:
                raise GraphError(f"{node.op} has {len(node.sources)} sources, its arity is {node.op.arity}")
            _CHECKS[node.op.kind](node)
        except GraphError as error:
            raise GraphError(f"node {number}{after and f' after {after}'}: {error}") from None


def _check_leaf(node: Node) -> None:
    named = node.op is not Op.CONST
    if named != bool(node.name):
        raise GraphError(f"{node.op} leaf with name {node.name!r}")
    if len(node.shape) > (2 if node.op is Op.PARAM else 1):
        raise GraphError(f"{node.op} leaf of shape {node.shape}")


def _check_map(node: Node) -> None:
    shapes = {source.shape for source in node.sources} - {()}
    expected = next(iter(shapes), node.shape if node.op is Op.BROADCAST else ())
    if len(shapes) > 1 or node.shape != expected or len(expected) > 1:
        raise GraphError(f"{node.op} of {[source.shape for source in node.sources]} gives {node.shape}")


def _check_reduction(node: Node) -> None:
    if node.shape != () or len(node.sources[0].shape) != 1:
        raise GraphError(f"{node.op} reduces {node.sources[0].shape} to {node.shape}")


def _check_product(node: Node) -> None:
    matrix, vector = node.sources
    if matrix.op is not Op.PARAM or len(matrix.shape) != 2:
        raise GraphError(f"{node.op} of a {matrix.op} of shape {matrix.shape}")
    rows, columns = matrix.shape if node.op is Op.PRODUCT else reversed(matrix.shape)
    if node.shape != (rows,) or vector.shape != (columns,):
        raise GraphError(f"{node.op} of {matrix.shape} and {vector.shape} gives {node.shape}")


_CHECKS = {"leaf": _check_leaf, "map": _check_map, "reduction": _check_reduction, "product": _check_product}
