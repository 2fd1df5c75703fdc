"""Random data for a cell, its passes through the interpreter, and how far a float32 result may be from them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cellar.engine import Cell
from tests.engine.interpreter import Interpreted, InterpretedGradient, interpret_backward, interpret_forward

Array = NDArray[Any]


@dataclass(frozen=True)
class Data:
    """What a forward and a backward pass take; shapes as in `CompiledCell`."""

    weights: dict[str, Array]
    inputs: tuple[Array, ...]
    state: Array
    d_outputs: Array
    d_state: Array
    lengths: Array | None = None


def draw(cell: Cell, steps: int, rows: int, *, seed: int = 0, lengths: Array | None = None) -> Data:
    """Return normal numbers, exact in float32."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    return Data(
        {p.name: normal(*p.shape) * np.float32(0.5) for p in cell.params},
        tuple(normal(steps, rows, size) for size in cell.in_sizes),
        normal(rows, cell.state_size),
        normal(steps, rows, cell.out_size),
        normal(rows, cell.state_size),
        lengths,
    )


def forward(cell: Cell, data: Data, dtype: DTypeLike = np.float64) -> Interpreted:
    """Run a cell forward in the interpreter."""
    return interpret_forward(cell, data.weights, data.inputs, data.state, data.lengths, dtype=dtype)


def backward(cell: Cell, data: Data, run: Interpreted, dtype: DTypeLike = np.float64) -> InterpretedGradient:
    """Run a cell back in the interpreter."""
    return interpret_backward(cell, data.weights, run.tape, data.d_outputs, data.d_state, data.lengths, dtype=dtype)


def variables(data: Data) -> dict[str, Array]:
    """Return what a gradient is taken with respect to: "state", "input 0", ... and the weights by name."""
    return {"state": data.state, **{f"input {i}": x for i, x in enumerate(data.inputs)}, **data.weights}


def gradients(found: InterpretedGradient) -> dict[str, Array]:
    """Return a gradient under the names of `variables`."""
    return {"state": found.state, **{f"input {i}": g for i, g in enumerate(found.inputs)}, **found.params}


def numerical(cell: Cell, data: Data, name: str, direction: Array, step: float = 1e-6) -> float:
    """Return the derivative of <outputs, d_outputs> + <state, d_state> along a direction, by central differences."""
    value = variables(data)[name].astype(np.float64)
    above, below = (_loss(cell, _with(data, name, value + sign * step * direction)) for sign in (1, -1))
    return (above - below) / (2 * step)


def _loss(cell: Cell, data: Data) -> float:
    run = forward(cell, data)
    return float((run.outputs * data.d_outputs).sum() + (run.state * data.d_state).sum())


def _with(data: Data, name: str, value: Array) -> Data:
    if name == "state":
        return replace(data, state=value)
    if name.startswith("input "):
        index = int(name.removeprefix("input "))
        return replace(data, inputs=(*data.inputs[:index], value, *data.inputs[index + 1 :]))
    return replace(data, weights={**data.weights, name: value})


MARGIN = 8
"""Kernels sum in another order than NumPy and have their own functions: a few times the rounding of NumPy's float32."""


def assert_close(actual: Array, exact: Array, rounded: Array, name: str) -> None:
    """Assert that a float32 result errs from the float64 one no more than rounding explains.

    The bound is `MARGIN` times the larger of the interpreter's own float32 error and one unit in the last place of
    the largest element.
    """
    scale = max(float(np.abs(exact).max(initial=0)), 1e-6)
    bound = MARGIN * max(float(np.abs(rounded - exact).max(initial=0)), scale * 2.0**-23)
    np.testing.assert_allclose(actual, exact, rtol=0, atol=bound, err_msg=name)
