"""Cells of the literature against the equations of their papers, in float64, and their kernels. Gradients of all
built-in cells are held against numerical derivatives in tests/engine/ir/test_autodiff.py."""

from pathlib import Path

import numpy as np
import pytest

from cellar.cells import BUILT_IN
from cellar.engine import Cell, KernelCache, build_cell, compile_cell
from tests.cells.reference import STEPS, Array
from tests.engine import oracle

TIME, ROWS = 6, 3


def reference(cell: Cell, name: str, data: oracle.Data) -> tuple[Array, Array]:
    """Return outputs (T, B, O) and state (B, S) by the reference."""
    weights = {key: value.astype(np.float64) for key, value in data.weights.items()}
    ends = np.cumsum([state.size for state in cell.states])
    parts = np.split(data.state.astype(np.float64), ends[:-1], axis=1)
    state = {place.name: part for place, part in zip(cell.states, parts, strict=True)}
    outputs = []
    for x in data.inputs[0].astype(np.float64):
        output, state = STEPS[name](weights, x, state)
        outputs.append(output)
    return np.stack(outputs), np.hstack([state[place.name] for place in cell.states])


@pytest.mark.parametrize("name", STEPS)
def test_equations_are_those_of_the_paper(name: str) -> None:
    cell = build_cell(BUILT_IN[name].text(), {"in": 3, "hidden": 5, "proj": 2})
    data = oracle.draw(cell, TIME, ROWS)
    run, (outputs, state) = oracle.forward(cell, data), reference(cell, name, data)
    np.testing.assert_allclose(run.outputs, outputs, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(run.state, state, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", STEPS)
def test_kernels(name: str, kernel_directory: Path) -> None:
    cell = build_cell(BUILT_IN[name].text(), {"in": 7, "hidden": 19, "proj": 17})
    data = oracle.draw(cell, TIME, ROWS)
    compiled = compile_cell(cell, KernelCache(kernel_directory))
    run = compiled.forward(compiled.pack(data.weights), data.inputs, data.state)
    rounded, (outputs, state) = oracle.forward(cell, data, np.float32), reference(cell, name, data)
    oracle.assert_close(run.outputs, outputs, rounded.outputs, name)
    oracle.assert_close(run.state, state, rounded.state, name)


def test_gates_of_the_minimal_lstm_that_both_vanish_share_the_step() -> None:
    """As quotients of sigmoids they would be 0 / 0 in float32."""
    cell = build_cell(BUILT_IN["minlstm"].text(), {"in": 1, "hidden": 1})
    data = oracle.draw(cell, 1, 1)
    closed = {"b_i": np.full(1, -200.0), "b_f": np.full(1, -200.0), "Wi_i": np.zeros((1, 1)), "Wi_f": np.zeros((1, 1))}
    data.weights.update(closed | {"Wi_n": np.ones((1, 1)), "b_n": np.zeros(1)})
    run = oracle.forward(cell, data, np.float32)
    assert run.state.item() == pytest.approx((data.state.item() + data.inputs[0].item()) / 2, rel=1e-6)
