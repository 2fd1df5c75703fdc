"""The order of nodes, and graphs rebuilt with other nodes in them."""

from cellar.engine.graph import Node, Op, rebuild, toposort
from cellar.engine.ops import apply, const

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


def test_rebuild_replaces_a_node_and_keeps_what_does_not_read_it() -> None:
    left, right = apply(Op.EXP, X), apply(Op.EXP, Y)
    root = apply(Op.SUB, left, right)
    made = rebuild([root], {X: const(2.0)})
    assert made[right] is right
    assert made[root].sources[0].sources[0].value == 2.0
    assert made[root].sources[1] is right
