"""Tokens to tree: precedence, faults and limits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellar.engine import build_cell
from cellar.engine.frontend.lexer import Source
from cellar.engine.frontend.parser import MAX_DEPTH, MAX_OPERATIONS, parse, to_float32
from cellar.engine.frontend.syntax_tree import Binary, Call, Expr, Name, Number, Unary
from cellar.errors import CellError, CellLimitError, CellNameError, CellSyntaxError
from tests.engine.faults import SIZES, points_at, refused


def bracketed(expr: Expr) -> str:
    """Return an expression with brackets that show how it was read."""
    match expr:
        case Number(token=token) | Name(token=token):
            return token.text
        case Unary(operand=operand):
            return f"(-{bracketed(operand)})"
        case Binary(token=token, left=left, right=right):
            return f"({bracketed(left)}{token.text}{bracketed(right)})"
        case Call(token=token, arguments=arguments):
            return f"{token.text}({','.join(map(bracketed, arguments))})"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a - b - c", "((a-b)-c)"),
        ("a / b * c", "((a/b)*c)"),
        ("a + b * c", "(a+(b*c))"),
        ("A @ x + B @ h", "((A@x)+(B@h))"),
        ("A @ x * r", "((A@x)*r)"),
        ("r * (B @ h)", "(r*(B@h))"),
        ("-a * b", "((-a)*b)"),
        ("a - -b", "(a-(-b))"),
        ("max(a, -b + c)", "max(a,((-b)+c))"),
        ("tanh(\n  A @ x\n  + b\n)", "tanh(((A@x)+b))"),
    ],
)
def test_precedence(text: str, read: str) -> None:
    assert bracketed(parse(Source(f"h = {text}")).assignments[0].value) == read


@pytest.mark.parametrize(
    ("text", "expected", "actual", "mark"),
    [
        ("h = tanh(x", "')'", "the end of the text", "h = tanh(x\n          ^"),
        ("h = (x\n+ h", "')'", "the end of the text", "+ h\n   ^"),
        ("h = x)", "an operator", "')'", "h = x)\n     ^"),
        ("h = x h", "an operator", "'h'", "h = x h\n      ^"),
        ("h = 2 x", "an operator", "'x'", "h = 2 x\n      ^"),
        ("h =", "a number, a name, a function or '('", "the end of the text", "h =\n   ^"),
        ("h = x +\nc = x", "a number, a name, a function or '('", "the end of the line", "h = x +\n       ^"),
        ("h = + x", "a number, a name, a function or '('", "'+'", "h = + x\n    ^"),
        ("h = tanh()", "a number, a name, a function or '('", "')'", "h = tanh()\n         ^"),
        ("h + x", "'='", "'+'", "h + x\n  ^"),
        ("= x", "a name", "'='", "= x\n^"),
        ("h = tanh * x", "'('", "'*'", "h = tanh * x\n         ^"),
        ("h = max(x)", "2 arguments", "1", "h = max(x)\n    ^"),
        ("h = tanh(x, h)", "1 argument", "2", "h = tanh(x, h)\n    ^"),
        ("param a scalar\nh = a * x", "':'", "'scalar'", "param a scalar\n        ^"),
        ("state c: 0\nc = x", "a name", "'0'", "state c: 0\n         ^"),
        ("param W: hidden x\nh = W @ x", "a name", "the end of the line", "param W: hidden x\n                 ^"),
        ("", "name = expression", "the end of the text", "\n^"),
        ("# nothing\n", "name = expression", "the end of the text", "\n^"),
        ("param a: scalar", "name = expression", "the end of the text", "param a: scalar\n               ^"),
    ],
)
def test_syntax_faults(text: str, expected: str, actual: str, mark: str) -> None:
    error = refused(text, CellSyntaxError)
    assert (error.expected, error.actual) == (expected, actual)
    points_at(error, text, mark)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("sigmiod(x)", "; did you mean 'sigmoid'?"),
        ("Tanh(x)", "; did you mean 'tanh'?"),
        ("__import__(x)", ""),
        ("expp(x)", "; did you mean 'exp'?"),
        ("exec(x)", ""),
        ("x(h)", ""),
        ("h(x)", ": it is a value, before its line that of the step before; a product is written with '*'"),
        ("ln(x)", "; did you mean 'log'?"),
        ("MatMul(W, x)", "; a matrix times a vector is written 'W @ x'"),
        ("concat(x, h)", "; there is no concatenation: give each part a matrix of its own, as in 'W @ x + U @ h'"),
    ],
)
def test_unknown_functions(call: str, hint: str) -> None:
    text = f"h = h + {call}"
    error = refused(text, CellNameError)
    assert error.detail == f"there is no function {call.partition('(')[0]!r}{hint}"
    points_at(error, text, f"{text}\n        ^")


def test_sixty_four_operations_are_the_most() -> None:
    text = "h = h" + " + x" * (MAX_OPERATIONS - 1)
    square = {"in": 5, "hidden": 5}
    assert build_cell(f"{text} * x", square).operations == 64
    assert build_cell(f"h = {'-' * 8}tanh(h) + x", square).operations == 10
    error = refused(f"{text} * x + h", CellLimitError, square)
    assert error.expected == "at most 64 operations"
    points_at(error, f"{text} * x + h", f"{text} * x + h\n{' ' * (len(text) + 5)}^")


@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("tanh(", ")"), ("-", "")])
def test_sixteen_levels_are_the_deepest(opening: str, closing: str) -> None:
    deepest = f"h = h + {opening * MAX_DEPTH}b{closing * MAX_DEPTH}"
    assert build_cell(deepest, SIZES).out_size == 5
    error = refused(f"h = h + {opening * 17}b{closing * 17}", CellLimitError)
    assert error.expected == "at most 16 levels"
    assert error.column == 9 + len(opening) * 17 - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.10000000149011612),
        ("16777217", 16777216.0),
        (".5", 0.5),
        ("2.", 2.0),
        ("1e-3", 0.0010000000474974513),
        # Beside the border of two float32, by less than a float64 can tell: rounding twice would give 1.
        ("1.0000000596046447753906251", 1.0000001192092896),
        ("1.000000059604644775390625", 1.0),
        ("1.0000000596046447753906249", 1.0),
        ("7.00649232162408535461865e-46", 2.0**-149),
        ("3.4028235677973365e38", 3.4028234663852886e38),
        ("1e-999999999999999999999", 0.0),
    ],
)
def test_numbers_are_rounded_once(text: str, value: float) -> None:
    assert to_float32(text) == value


@pytest.mark.parametrize("number", ["1e39", "3.4028235677973367e38", "1e400", "1e999999999999"])
def test_numbers_beyond_float32(number: str) -> None:
    error = refused(f"h = h * {number}", CellSyntaxError)
    assert error.detail == f"{number} is beyond float32"
    assert error.column == 9


PIECES = [*"hxWb1.=+-*/@(),:\n #", "tanh(", "param ", "state ", "output", "h = ", "hidden"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_text_is_a_cell_or_an_error_with_a_place(pieces: list[str]) -> None:
    text = "".join(pieces)
    error = fault(text)
    if error is not None:
        assert error.column >= 1
        assert error.column <= len(text.split("\n")[error.line - 1]) + 1


def test_a_size_is_limited() -> None:
    assert fault("state q: 16384\nq = q + 1\noutput = x") is None
    error = refused("state q: 16385\nq = q + 1\noutput = x", CellLimitError)
    assert (error.line, error.column, error.expected) == (1, 10, "at most 16384")


def fault(text: str) -> CellError | None:
    """Return what is wrong with a cell's text; any error but a CellError passes through."""
    try:
        build_cell(text, SIZES)
    except CellError as error:
        return error
    return None
