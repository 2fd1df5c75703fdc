"""The gradients of a network over one window."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.execution.backprop import Backprop
from cellar.nn.execution.dropout import Masks
from cellar.nn.execution.executable import BoundNetwork

Array = NDArray[np.float32]
Lengths = NDArray[np.int32]


@dataclass(frozen=True)
class Window:
    """Outputs (T, B, O), the state (B, S) after them, and gradients of weights, inputs and the state before."""

    outputs: Array
    state: Array
    weights: Mapping[str, Array]
    inputs: Array
    d_state: Array


def gradients(
    bound: BoundNetwork,
    cache: KernelCache,
    inputs: Array,
    state: Array,
    d_outputs: Array,
    *,
    lengths: Lengths | None = None,
    masks: Masks | None = None,
    d_state: Array | None = None,
) -> Window:
    """Run forward and back, given the gradients of the outputs and of the state after them.

    The window begins with the initial states, if they are trained.
    """
    arithmetic = Arithmetic(cache)
    commands = arithmetic.recording()
    found = {name: np.full(shape, np.nan, np.float32) for name, shape in bound.network.parameters}
    backprop = Backprop(bound, commands, inputs, found, ragged=lengths is not None, want_inputs=True)
    outputs = backprop.record_forward()
    backprop.record_backward(d_outputs, arithmetic, begins=True)
    np.copyto(backprop.before, state)
    if d_state is not None:
        np.copyto(backprop.d_after, d_state)
    backprop.prepare(lengths, masks or {})
    assert commands.run()
    backprop.finish()
    assert backprop.d_inputs is not None
    return Window(outputs, backprop.after, found, backprop.d_inputs, backprop.d_before)
