"""Graphs that no pass may make."""

import pytest

from cellar.engine import build_cell
from cellar.engine.ir.graph import Node
from cellar.engine.ir.ops import Op, const
from cellar.engine.ir.verify import GraphError, verify
from tests.engine.texts import CELLS

X = Node(Op.INPUT, ("in",), name="x")
H = Node(Op.STATE, ("hidden",), name="h")
W = Node(Op.PARAM, ("hidden", "in"), name="W")

CORRUPTED = {
    "too few sources": Node(Op.ADD, ("in",), (X,)),
    "a leaf with sources": Node(Op.INPUT, ("in",), (X,), name="y"),
    "a leaf without a name": Node(Op.STATE, ("hidden",)),
    "a constant with a name": Node(Op.CONST, (), name="one", value=1.0),
    "an input that is a matrix": Node(Op.INPUT, ("hidden", "in"), name="x"),
    "a parameter of three axes": Node(Op.PARAM, ("a", "b", "c"), name="T"),
    "two vector sizes": Node(Op.MUL, ("in",), (X, H)),
    "a vector that became another": Node(Op.EXP, ("hidden",), (X,)),
    "a vector that became a scalar": Node(Op.NEG, (), (X,)),
    "a matrix in a sum": Node(Op.ADD, ("hidden", "in"), (W, W)),
    "a vector spread over another": Node(Op.BROADCAST, ("hidden",), (X,)),
    "a fold to a vector": Node(Op.SUM, ("in",), (X,)),
    "a fold of a scalar": Node(Op.REDUCE_MAX, (), (const(1.0),)),
    "a product of vectors": Node(Op.PRODUCT, ("hidden",), (H, X)),
    "a product with another size": Node(Op.PRODUCT, ("hidden",), (W, H)),
    "a product that is not transposed": Node(Op.PRODUCT_T, ("hidden",), (W, X)),
}


@pytest.mark.parametrize("what", CORRUPTED)
def test_corrupted_graphs(what: str) -> None:
    with pytest.raises(GraphError):
        verify([Node(Op.ADD, CORRUPTED[what].shape, (CORRUPTED[what], CORRUPTED[what]))])


@pytest.mark.parametrize("name", CELLS)
def test_every_pass_keeps_the_graph_legal(name: str) -> None:
    cell = build_cell(CELLS[name], {"in": 3, "hidden": 4, "proj": 2})
    verify(cell.step.roots)
    verify(cell.adjoint.roots)
