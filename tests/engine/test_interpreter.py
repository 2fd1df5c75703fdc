"""The interpreter, on a cell that can be worked out by hand."""

import numpy as np

from cellar.engine import build_cell
from tests.engine.interpreter import interpret_backward, interpret_forward

CELL = build_cell("param a: scalar\nh = a * h + W @ x\noutput = h * h", {"in": 2, "hidden": 1})
WEIGHTS = {"a": np.array(0.5), "W": np.array([[2.0, -1.0]])}
INPUTS = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
STATE = np.array([[4.0]])


def test_forward() -> None:
    run = interpret_forward(CELL, WEIGHTS, [INPUTS], STATE)
    assert run.outputs.ravel().tolist() == [16.0, 1.0]
    assert run.state.tolist() == [[1.0]]
    assert run.outputs.dtype == np.float64


def test_backward() -> None:
    run = interpret_forward(CELL, WEIGHTS, [INPUTS], STATE)
    found = interpret_backward(CELL, WEIGHTS, run.tape, np.ones((2, 1, 1)), np.array([[3.0]]))
    # h1 = 4, h2 = 1; d h2 = 2 h2 + 3 = 5; d h1 = 2 h1 + a d h2 = 10.5; d h0 = a d h1
    assert found.state.tolist() == [[5.25]]
    assert found.inputs[0].tolist() == [[[21.0, -10.5]], [[10.0, -5.0]]]
    assert found.params["W"].tolist() == [[10.5, 5.0]]
    assert found.params["a"] == 5 * 4 + 10.5 * 4


def test_rows_past_their_length_are_frozen() -> None:
    inputs, state, lengths = np.repeat(INPUTS, 2, axis=1), np.repeat(STATE, 2, axis=0), np.array([1, 0])
    run = interpret_forward(CELL, WEIGHTS, [inputs], state, lengths, dtype=np.float32)
    assert run.outputs[:, :, 0].tolist() == [[16.0, 0.0], [0.0, 0.0]]
    assert run.state.tolist() == [[4.0], [4.0]]
    found = interpret_backward(CELL, WEIGHTS, run.tape, np.ones((2, 2, 1)), np.full((2, 1), 3.0), lengths)
    assert found.state.tolist() == [[0.5 * (8 + 3)], [3.0]]
    assert found.params["W"].tolist() == [[11.0, 0.0]]
