"""Gradients of cells against numerical derivatives, in float64, by the interpreter."""

import numpy as np
import pytest

from cellar.cells import BUILT_IN
from cellar.engine import Cell, build_cell
from cellar.engine.frontend.functions import FUNCTIONS
from tests.engine import oracle
from tests.engine.texts import CELLS

SIZES = {"in": 3, "hidden": 4, "proj": 2}
LENGTHS = np.array([4, 0, 2], np.int32)

BUILT_IN_TEXTS = {
    f"{name} {activation or ''}".strip(): spec.text(activation)
    for name, spec in BUILT_IN.items()
    for activation in spec.activations or (None,)
}
ARGUMENTS = {1: "0.5 + G * G + tanh(h * h)", 2: "G - h, b * h"}
CALLS = {
    name: f"h = tanh(Wi @ x + Wh @ h) + {name}({ARGUMENTS[function.arity]}) / 4" for name, function in FUNCTIONS.items()
}
TEXTS = {**BUILT_IN_TEXTS, **CELLS, **CALLS}


def agrees(cell: Cell, data: oracle.Data) -> None:
    """Assert that along a random direction of every variable the gradient is the numerical derivative."""
    found = oracle.gradients(oracle.backward(cell, data, oracle.forward(cell, data)))
    assert found.keys() == oracle.variables(data).keys()
    rng = np.random.default_rng(2)
    for name, gradient in found.items():
        direction = rng.normal(size=gradient.shape)
        expected = oracle.numerical(cell, data, name, direction)
        np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=2e-7, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("name", TEXTS)
def test_cells(name: str) -> None:
    cell = build_cell(TEXTS[name], SIZES)
    agrees(cell, oracle.draw(cell, 4, 3))
    agrees(cell, oracle.draw(cell, 4, 3, lengths=LENGTHS, seed=1))


def test_several_inputs() -> None:
    text = "e = Wp @ x - target\nh = h * mask + tanh(e)\noutput = sum(e * e) / 2 + logsumexp(mask * e)\nstate h: target"
    cell = build_cell(text, {"in": 3, "target": 2, "mask": 2}, inputs=("x", "target", "mask"))
    agrees(cell, oracle.draw(cell, 4, 3, lengths=LENGTHS))


def test_what_does_not_reach_the_output_has_a_gradient_of_zeros() -> None:
    cell = build_cell("state seen: in\nseen = x * G\nh = h + b\noutput = h + 0 * sum(h)", SIZES)
    data = oracle.draw(cell, 2, 2)
    data.d_state[:] = 0
    found = oracle.backward(cell, data, oracle.forward(cell, data))
    assert not found.inputs[0].any()
    assert not found.params["G"].any()
    assert found.params["b"].any()
