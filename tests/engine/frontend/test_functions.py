"""The functions of the language."""

import pytest

from cellar.engine import build_cell
from cellar.engine.frontend.functions import ELSEWHERE, FUNCTIONS
from cellar.errors import CellNameError


def test_the_closed_list() -> None:
    words = "abs exp layernorm log logsumexp max mean min relu sigmoid softmax softplus sqrt sum tanh"
    assert list(FUNCTIONS) == words.split()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_keeps_its_promise_of_shape(name: str) -> None:
    function = FUNCTIONS[name]
    arguments = ", ".join(["x"] * function.arity)
    cell = build_cell(f"output = {name}({arguments})", {"in": 4})
    assert cell.out_size == (1 if function.result == "scalar" else 4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_can_be_assigned_or_declared(name: str) -> None:
    for text in (f"{name} = x", f"param {name}: in\nh = h", f"state {name}: in\nh = h"):
        with pytest.raises(CellNameError, match=f"'{name}' is a function and cannot be assigned"):
            build_cell(text, {"in": 2, "hidden": 2})


def test_what_other_languages_have_is_no_function_here() -> None:
    assert not ELSEWHERE.keys() & FUNCTIONS.keys()
    assert all(name == name.lower() for name in ELSEWHERE)
