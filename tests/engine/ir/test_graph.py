"""The order of nodes."""

from cellar.engine.ir.graph import Node, toposort
from cellar.engine.ir.ops import Op, apply

X, Y = (Node(Op.INPUT, ("n",), name=name) for name in "xy")


def test_sources_come_before_users_and_every_node_once() -> None:
    both = apply(Op.ADD, X, Y)
    square = apply(Op.MUL, both, both)
    assert toposort([square, apply(Op.NEG, X), both])[:4] == [X, Y, both, square]
    assert len(toposort([square, square, both])) == 4


def test_a_deep_graph_needs_no_deep_stack() -> None:
    node = X
    for _ in range(5000):
        node = apply(Op.NEG, node)
    assert len(toposort([node])) == 5001
