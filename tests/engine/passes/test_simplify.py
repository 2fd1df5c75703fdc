"""Sharing and folding, neither of which may change a bit."""

import numpy as np
import pytest

from cellar.engine import Cell, build_cell
from cellar.engine.frontend.lexer import Source
from cellar.engine.frontend.lowering import lower
from cellar.engine.frontend.name_resolution import resolve
from cellar.engine.frontend.parser import parse
from cellar.engine.frontend.shape_inference import infer
from cellar.engine.ir.graph import Node, toposort
from cellar.engine.ir.ops import Op, apply, const
from cellar.engine.passes.simplify import simplify
from tests.engine import oracle
from tests.engine.texts import CELLS

SIZES = {"in": 3, "hidden": 4, "proj": 2}
X = Node(Op.INPUT, ("n",), name="x")


def test_equal_nodes_become_one() -> None:
    twice = apply(Op.ADD, apply(Op.EXP, X), apply(Op.EXP, X))
    left, right = simplify([twice])[twice].sources
    assert left is right
    minus = apply(Op.ADD, apply(Op.SUB, X, const(1.0)), apply(Op.SUB, const(1.0), X))
    left, right = simplify([minus])[minus].sources
    assert left is not right


def test_constants_fold_in_float32() -> None:
    cell = build_cell("h = h * (0.1 + 0.2) / 3", {"in": 1, "hidden": 1})
    values = [node.value for node in toposort(cell.step.roots) if node.op is Op.CONST]
    assert values == [float(np.float32(0.1) + np.float32(0.2)), 3.0]


def test_functions_of_constants_are_left_to_the_kernel() -> None:
    root = apply(Op.TANH, const(0.5))
    assert simplify([root])[root].op is Op.TANH


def test_the_sign_of_zero_and_nan_are_told_apart() -> None:
    zeros = apply(Op.DIV, apply(Op.MUL, X, const(0.0)), apply(Op.MUL, X, const(-0.0)))
    left, right = simplify([zeros])[zeros].sources
    assert left is not right
    undefined = apply(Op.SUB, const(np.inf), const(np.inf))
    assert np.isnan(simplify([undefined])[undefined].value)


def test_nothing_is_dropped_because_algebra_says_so() -> None:
    # x * 0 is NaN where x is, x - x too, and x + 0 turns -0 into +0.
    for root in (apply(Op.MUL, X, const(0.0)), apply(Op.SUB, X, X), apply(Op.ADD, X, const(0.0))):
        assert simplify([root])[root].op is root.op


@pytest.mark.parametrize("name", CELLS)
def test_bits_stay(name: str) -> None:
    source = Source(CELLS[name])
    program = parse(source)
    roles = resolve(program, source, ("x",))
    inferred = infer(program, roles, source, SIZES)
    before, after = Cell(lower(program, roles, inferred.shapes), inferred.sizes, 0), build_cell(CELLS[name], SIZES)
    assert len(toposort(after.step.roots)) <= len(toposort(before.step.roots))
    data = oracle.draw(after, 3, 2)
    ours, theirs = (oracle.forward(cell, data, np.float32) for cell in (after, before))
    np.testing.assert_array_equal(ours.outputs, theirs.outputs)
    np.testing.assert_array_equal(ours.state, theirs.state)
