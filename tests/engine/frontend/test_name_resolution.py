"""What each name of a cell is."""

import pytest

from cellar.engine import build_cell
from cellar.errors import CellNameError
from tests.engine.faults import SIZES, points_at, refused

PARAMETERS = "a parameter begins with a capital or 'b_', or is declared, as in"


def test_a_name_read_before_its_assignment_is_state() -> None:
    cell = build_cell("a = tanh(Wa @ x + Ua @ late)\nlate = a * h\nh = late + b", SIZES)
    assert [state.name for state in cell.states] == ["late", "h"]
    assert [param.name for param in cell.params] == ["Wa", "Ua", "b"]


def test_parameters_are_capitals_b_or_declared() -> None:
    text = "param gain: scalar\nparam taps: hidden\nh = gain * h + taps * (Any @ x) + b_1 + b"
    cell = build_cell(text, SIZES)
    assert [(p.name, p.shape) for p in cell.params] == [
        ("gain", ()),
        ("taps", (5,)),
        ("Any", (5, 3)),
        ("b_1", (5,)),
        ("b", (5,)),
    ]


def test_a_declared_state_need_not_be_read() -> None:
    cell = build_cell("state seen: in\nseen = x\nh = tanh(Wh @ h)", SIZES)
    assert [(s.name, s.size) for s in cell.states] == [("seen", 3), ("h", 5)]


def test_the_output_is_the_last_state_unless_a_line_says_otherwise() -> None:
    assert build_cell("c = c + Wc @ x\nh = h + W @ c\nz = h * 2", SIZES).step.output.op.name == "add"
    assert build_cell("h = h + b\noutput = V @ x\nparam V: 2 x in", SIZES).out_size == 2


@pytest.mark.parametrize("name", ["lambda", "None_", "def", "eval", "__class__", "self", "hidden"])
def test_words_of_python_are_names_like_any_other(name: str) -> None:
    cell = build_cell(f"{name} = tanh(Wi @ x + Wh @ {name})", SIZES)
    assert cell.states[0].name == name


@pytest.mark.parametrize(
    ("text", "detail", "mark"),
    [
        (
            "h = tanh(Wi @ x + Wh @ hh)",
            "'hh' is never assigned; did you mean 'h'?",
            "h = tanh(Wi @ x + Wh @ hh)\n                       ^",
        ),
        (
            "reset = sigmoid(b)\nh = rest * h",
            "'rest' is never assigned; did you mean 'reset'?",
            "h = rest * h\n    ^",
        ),
        (
            "h = h + __import__",
            f"'__import__' is never assigned; {PARAMETERS} 'param __import__: hidden x in'",
            "h = h + __import__\n        ^",
        ),
        *(
            (
                f"h = tanh(W @ x + U @ {name})",
                f"'{name}' is never assigned: write 'h', which before its own line is the old state",
                f"h = tanh(W @ x + U @ {name})\n                     ^",
            )
            for name in ("h_prev", "h_t", "h_tm1", "htm1", "prev_h", "h_old", "h_t_1", "hprev")
        ),
        (
            "h_t = tanh(W @ x + U @ h_prev)",
            "'h_prev' is never assigned: write 'h_t', which before its own line is the old state",
            "h_t = tanh(W @ x + U @ h_prev)\n                       ^",
        ),
        (
            "c = sigmoid(F @ x) * c_prev\nh = tanh(c) * h",
            "'c_prev' is never assigned: write 'c', which before its own line is the old state",
            "c = sigmoid(F @ x) * c_prev\n                     ^",
        ),
        (
            "h = tanh(W @ x_t + U @ h)",
            "'x_t' is never assigned: write 'x', the input of this step",
            "h = tanh(W @ x_t + U @ h)\n             ^",
        ),
        (
            "h = tanh(W @ input + U @ h)",
            "'input' is never assigned: the input is called 'x'",
            "h = tanh(W @ input + U @ h)\n             ^",
        ),
        ("h = h + x_\n", "'x_' is never assigned; did you mean 'x'?", "h = h + x_\n        ^"),
        ("x = h", "'x' is the input and cannot be assigned", "x = h\n^"),
        ("tanh = x", "'tanh' is a function and cannot be assigned", "tanh = x\n^"),
        ("h = x\nstate = h", "'state' is a word of the language", "state = h\n^"),
        ("scalar = x", "'scalar' is a word of the language", "scalar = x\n^"),
        ("h = h + b\nh = h * 2", "'h' is assigned twice, first in line 1", "h = h * 2\n^"),
        ("h = h\noutput = h\noutput = h", "'output' is assigned twice, first in line 2", "output = h\n^"),
        ("h = output", "'output' can be assigned and not read", "h = output\n    ^"),
        ("y = tanh(W @ x)", "a cell without state needs a line 'output = ...'", "y = tanh(W @ x)\n^"),
        ("param a: scalar\nh = h + b", "the parameter 'a' is never used", "param a: scalar\n      ^"),
        ("param a: scalar\nparam a: in\nh = a * h", "'a' is declared twice", "param a: in\n      ^"),
        ("param h: in\nh = h", "'h' is declared a parameter and assigned", "param h: in\n      ^"),
        ("param x: in\nh = x", "'x' is the input and cannot be assigned", "param x: in\n      ^"),
        ("param exp: in\nh = h", "'exp' is a function and cannot be assigned", "param exp: in\n      ^"),
        ("param output: in\nh = h", "'output' is a word of the language", "param output: in\n      ^"),
        (
            "state cel: in\ncell = x\nh = h",
            "the state 'cel' is never assigned; did you mean 'cell'?",
            "state cel: in\n      ^",
        ),
        ("state c: in x in\nc = x", "the state 'c' must be a vector", "state c: in x in\n      ^"),
        ("state c: scalar\nc = x", "the state 'c' must be a vector", "state c: scalar\n      ^"),
    ],
)
def test_name_faults(text: str, detail: str, mark: str) -> None:
    error = refused(text, CellNameError)
    assert error.detail == detail
    points_at(error, text, mark)


def test_every_input_is_protected() -> None:
    with pytest.raises(CellNameError, match="'target' is the input"):
        build_cell("target = x\noutput = target", {"in": 2, "target": 2}, inputs=("x", "target"))
