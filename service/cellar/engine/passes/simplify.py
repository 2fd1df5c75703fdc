"""Simplifies a graph: shares equal nodes and folds constants in float32. Any other rewrite could change a bit."""

from collections.abc import Iterable

import numpy as np

from cellar.engine.ir.graph import Node, toposort
from cellar.engine.ir.ops import Op, const

Key = tuple[object, ...]


def simplify(roots: Iterable[Node]) -> dict[Node, Node]:
    """Return for every node below the roots the node that replaces it."""
    roots = list(roots)
    made: dict[Node, Node] = {}
    canonical: dict[Key, Node] = {}
    for node in toposort(roots):
        sources = tuple(made[source] for source in node.sources)
        new = _folded(node, sources) or _with_sources(node, sources)
        made[node] = canonical.setdefault(_key(new), new)
    return made


def _with_sources(node: Node, sources: tuple[Node, ...]) -> Node:
    if all(new is old for new, old in zip(sources, node.sources, strict=True)):
        return node
    return Node(node.op, node.shape, sources, node.name, node.value)


def _folded(node: Node, sources: tuple[Node, ...]) -> Node | None:
    if not node.op.exact or not all(source.op is Op.CONST for source in sources):
        return None
    with np.errstate(all="ignore"):
        value = node.op.numpy(*(np.float32(source.value) for source in sources))
    return const(float(value))


def _key(node: Node) -> Key:
    # The sign of zero counts, and NaN equals nothing: bits tell constants apart.
    bits = np.float32(node.value).tobytes()
    return (node.op, node.shape, node.name, bits, *(id(source) for source in node.sources))
