"""Shapes of every name, and faults that name expected and actual shape."""

import pytest

from cellar.engine import build_cell
from cellar.errors import CellNameError, CellShapeError
from tests.engine.faults import SIZES, points_at, refused


def shapes(text: str, **sizes: int) -> dict[str, tuple[int, ...]]:
    """Return the parameters' shapes and the states' sizes of a cell."""
    cell = build_cell(text, {**SIZES, **sizes})
    return {p.name: p.shape for p in cell.params} | {s.name: (s.size,) for s in cell.states}


def test_the_example_of_the_flux_documentation() -> None:
    found = shapes("h = tanh(Wxh @ x + Whh @ h + b)")
    assert found == {"Wxh": (5, 3), "Whh": (5, 5), "b": (5,), "h": (5,)}


def test_sizes_follow_from_declarations() -> None:
    text = "param P: proj x hidden\nstate h: proj\nc = tanh(Wc @ x + Uc @ h + c)\nh = P @ c\noutput = V @ h\n"
    found = shapes(text + "param V: 2 x proj", proj=4)
    assert found == {"Wc": (5, 3), "Uc": (5, 4), "P": (4, 5), "V": (2, 4), "c": (5,), "h": (4,)}


def test_scalars_broadcast_and_folds_give_scalars() -> None:
    cell = build_cell("param a: scalar\nh = a * h + 1 / (1 + sum(x)) - mean(h)\noutput = logsumexp(h)", SIZES)
    assert [(s.name, s.size) for s in cell.states] == [("h", 5)]
    assert cell.out_size == 1


def test_sizes_of_equal_number_may_meet() -> None:
    assert build_cell("h = h + x", {"in": 4, "hidden": 4}).out_size == 4


def test_a_further_input_has_the_size_of_its_name() -> None:
    cell = build_cell("output = sum(x - target)", {"in": 2, "target": 2}, inputs=("x", "target"))
    assert cell.in_sizes == (2, 2)
    with pytest.raises(CellNameError, match="the size 'target' is not given"):
        build_cell("output = sum(x - target)", {"in": 2}, inputs=("x", "target"))


@pytest.mark.parametrize(
    ("text", "expected", "actual", "mark"),
    [
        ("h = h + x", "a vector (hidden = 5)", "a vector (in = 3)", "h = h + x\n      ^"),
        (
            "z = Wz @ x + Uz @ h\nh = tanh(z) + max(h, x)",
            "a vector (hidden = 5)",
            "a vector (in = 3)",
            "h = tanh(z) + max(h, x)\n              ^",
        ),
        ("h = W @ x + W @ h", "a vector (in = 3)", "a vector (hidden = 5)", "h = W @ x + W @ h\n              ^"),
        (
            "param W: in x in\nh = h * 0\nc = c - W @ x",
            "a vector (hidden = 5)",
            "a vector (in = 3)",
            "c = c - W @ x\n      ^",
        ),
        ("h = h * 2 + sum(h)\nc = sum(c)", "a vector (hidden = 5)", "a scalar", "c = sum(c)\n^"),
        ("h = h + W @ sum(x)", "a vector (?)", "a scalar", "h = h + W @ sum(x)\n          ^"),
        ("h = h + softmax(1)", "a vector (?)", "a scalar", "h = h + softmax(1)\n        ^"),
        ("h = x @ h", "a parameter", "x", "h = x @ h\n      ^"),
        ("h = tanh(W) @ h", "a parameter", "a vector or a scalar", "h = tanh(W) @ h\n            ^"),
        ("param v: in\nh = h + v @ x", None, "a vector (in = 3)", "h = h + v @ x\n        ^"),
        ("h = h - W @ x + W", None, "a matrix (hidden = 5, in = 3)", "h = h - W @ x + W\n                ^"),
        ("output = W @ x", None, "a matrix (?, in = 3)", "output = W @ x\n         ^"),
    ],
)
def test_shape_faults(text: str, expected: str | None, actual: str | None, mark: str) -> None:
    error = refused(text, CellShapeError)
    assert (error.expected, error.actual) == (expected, actual)
    points_at(error, text, mark)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (
            "h = tanh(W * x + U @ h)",
            "the new value of the state 'h' has another shape; a matrix times a vector is written 'W @ x'",
        ),
        (
            "h = tanh(h * U + x * W)",
            "the operands of '+' have different sizes; a matrix times a vector is written 'U @ h'",
        ),
        (
            "h = h * 0\nh2 = c * b_c\nc = W * x",
            "the new value of the state 'c' has another shape; a matrix times a vector is written 'W @ x'",
        ),
        (
            "param W: hidden x in\nh = W * x + h",
            "the matrix 'W' can only stand left of '@'; a matrix times a vector is written 'W @ x'",
        ),
        ("h = tanh(W @ x + h @ U)", "left of '@' stands the name of a matrix parameter; write 'U @ h'"),
        ("h = h + W @ U @ h", "left of '@' stands the name of a matrix parameter; put brackets around the right side"),
        ("h = h + x * c_\nc_ = x * h", "the operands of '*' have different sizes"),
    ],
)
def test_a_product_of_a_matrix_says_how_it_is_written(text: str, detail: str) -> None:
    assert refused(text, CellShapeError).detail == detail


def test_sizes_that_are_not_given() -> None:
    text = "param P: prj x hidden\nh = h + W @ (P @ h)"
    error = refused(text, CellNameError, {**SIZES, "proj": 2})
    assert error.detail == "the size 'prj' is not given; did you mean 'proj'?"
    assert error.expected == "one of hidden, in, proj, or a whole number"
    points_at(error, text, "param P: prj x hidden\n         ^")
    assert refused("h = h + b", CellNameError, {"hidden": 5}).detail == "the size 'in' is not given"
