"""Converts the ONNX operators RNN, LSTM and GRU to recurrent layers.

The arrays of both directions stand behind each other along the first axis; the order of gates stands in each cell's
file. `sequence_lens` that are an input of the graph are what requests send as the lengths of rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.interchange.activations import Activation
from cellar.interchange.chain import ImportedLayer
from cellar.interchange.onnx.activations import recurrent_activations
from cellar.interchange.onnx.model_file import Node
from cellar.interchange.onnx.values import Constant, Filled, FinalState, Part, Signal, Value, need_constant
from cellar.interchange.recurrent import RecurrentForm, cell_for, recurrent_weights
from cellar.interchange.tensors import float32_array
from cellar.nn.model.layers.bidirectional import BidirectionalSpec
from cellar.nn.model.layers.recurrent import RecurrentSpec
from cellar.nn.model.layers.reverse import ReverseSpec

Array = NDArray[np.float32]

ROLES = {"RNN": ("f",), "LSTM": ("f", "g", "h"), "GRU": ("f", "g")}
DEFAULTS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
INPUTS = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a recurrent node by their names in the documents; those left out are not there."""

    node: Node
    values: Mapping[str, Value]
    use_state: Callable[[Node, Signal], None]
    """Notes that an input of the graph is a state."""
    use_lengths: Callable[[Node, Signal], None]
    """Notes that an input of the graph is the lengths of rows."""

    def array(self, name: str, axes: int) -> Array | None:
        """Return a constant array, None if it is left out. Raise ImportRefused."""
        if name not in self.values:
            return None
        constant = need_constant(self.node, self.values[name], name)
        array = float32_array(constant.array, constant.name)
        if array.ndim != axes:
            raise self.node.refused(f"{name} has another shape", expected=f"{axes} axes", actual=str(list(array.shape)))
        return array

    def name(self, name: str) -> str:
        """Return the name of a constant in the graph."""
        value = self.values.get(name)
        return value.name if isinstance(value, Constant) else name


def recurrent_layer(inputs: Inputs, signal: Signal, steps: Part, rows: Part) -> tuple[Value, Value, Value]:
    """Return Y, Y_h and Y_c of a recurrent node that reads a signal."""
    node = inputs.node
    direction = node.attribute("direction", "forward")
    if direction not in DIRECTIONS:
        raise node.refused("an unknown direction", expected=", ".join(DIRECTIONS), actual=str(direction)[:64])
    count = DIRECTIONS[direction]
    if node.attribute("input_forget", 0):
        raise node.refused("input_forget couples gates: the documents of ONNX give no equation, and runtimes differ")
    _check_lengths(inputs, steps)
    arrays, hidden, reads = _arrays(inputs, count)
    forms = _forms(inputs, count)
    starts = _initial_states(inputs, count, hidden)
    names = {name: f"{node.name}: {inputs.name(name)}" for name in ("W", "R", "B", "P")}
    both: list[tuple[RecurrentSpec, dict[str, Array]]] = []
    for number in range(count):
        own = {name: array[number] for name, array in arrays.items()}
        weights = recurrent_weights(forms[number], "onnx", own, (reads, hidden), names)
        start = {f"{name}0": rows_of[number] for name, rows_of in starts.items()}
        both.append((forms[number].spec(hidden, trainable_state=bool(start)), weights | start))
    layer = _layer(node, direction, both)
    return _outputs(node, signal, layer, (steps, rows, Part("directions", count), Part("numbers", hidden)), direction)


def _layer(node: Node, direction: str, both: list[tuple[RecurrentSpec, dict[str, Array]]]) -> ImportedLayer:
    (spec, weights), (last, more) = both[0], both[-1]
    if direction == "forward":
        return ImportedLayer(spec, weights, node.name)
    if direction == "reverse":
        return ImportedLayer(ReverseSpec(layer=spec), weights, node.name)
    found = {f"forward.{name}": array for name, array in weights.items()}
    found |= {f"reverse.{name}": array for name, array in more.items()}
    return ImportedLayer(BidirectionalSpec(layer=spec, reverse_layer=None if last == spec else last), found, node.name)


def _outputs(
    node: Node, signal: Signal, layer: ImportedLayer, parts: tuple[Part, Part, Part, Part], direction: str
) -> tuple[Value, Value, Value]:
    """Return Y, Y_h and Y_c with the axes that the layout says."""
    steps, rows, directions, numbers = ((part,) for part in parts)
    batchwise = bool(node.attribute("layout", 0))
    layers = (*signal.layers, layer)
    every = (rows, steps, directions, numbers) if batchwise else (steps, directions, rows, numbers)
    last = (rows, directions, numbers) if batchwise else (directions, rows, numbers)
    final = Signal(signal.source, layers, last, "last" if direction == "forward" else "ends", state=True)
    place = (node.name,) if direction == "forward" else (node.name, "reverse")
    return Signal(signal.source, layers, every), final, FinalState(place)


def _arrays(inputs: Inputs, count: int) -> tuple[dict[str, Array], int, int]:
    """Return W, R, B and P with an axis of directions in front, the hidden size, and the size of the input."""
    node = inputs.node
    found = {"W": inputs.array("W", 3), "R": inputs.array("R", 3), "B": inputs.array("B", 2), "P": inputs.array("P", 2)}
    arrays = {name: array for name, array in found.items() if array is not None}
    for name in ("W", "R"):
        if name not in arrays:
            raise node.refused(f"its input {name} is left out")
    for name, array in arrays.items():
        if array.shape[0] != count:
            raise node.refused(
                f"{name} has another number of directions", expected=str(count), actual=str(list(array.shape))
            )
    hidden = arrays["R"].shape[2]
    if node.attribute("hidden_size", hidden) != hidden:
        raise node.refused(
            "hidden_size is not that of R", expected=str(node.attribute("hidden_size")), actual=str(hidden)
        )
    if not (arrays.get("P", np.zeros(1)) != 0).any():
        arrays.pop("P", None)
    return arrays, hidden, arrays["W"].shape[2]


def _forms(inputs: Inputs, count: int) -> list[RecurrentForm]:
    """Return the cell of each direction, with its activations."""
    node = inputs.node
    roles = ROLES[node.operator]
    functions = recurrent_activations(node, DEFAULTS[node.operator] * count)
    clip = node.attribute("clip")
    if clip is not None and not 0 < clip < np.inf:
        raise node.refused("clip is no bound", expected="a number above 0", actual=str(clip))
    options: dict[str, Any] = {}
    if node.operator == "GRU":
        options = {"linear_before_reset": 1 if node.attribute("linear_before_reset", 0) else 0}
    cell = cell_for("onnx", node.operator, **options)
    cell = "lstm_peephole" if node.operator == "LSTM" and _has_peepholes(inputs) else cell
    forms = []
    for number in range(count):
        own: Mapping[str, Activation] = dict(
            zip(roles, functions[number * len(roles) : (number + 1) * len(roles)], strict=True)
        )
        forms.append(RecurrentForm(cell, own, clip))
    return forms


def _has_peepholes(inputs: Inputs) -> bool:
    array = inputs.array("P", 2)
    return array is not None and bool((array != 0).any())


def _initial_states(inputs: Inputs, count: int, hidden: int) -> dict[str, Array]:
    """Return the initial values (directions, hidden) of each state; nothing if all are zero, or inputs of the graph."""
    names = {"h": "initial_h"} | ({"c": "initial_c"} if inputs.node.operator == "LSTM" else {})
    found = {state: _initial_state(inputs, name, count, hidden) for state, name in names.items()}
    if all(array is None or not array.any() for array in found.values()):
        return {}
    zeros = np.zeros((count, hidden), np.float32)
    return {state: zeros if array is None else array for state, array in found.items()}


def _initial_state(inputs: Inputs, name: str, count: int, hidden: int) -> Array | None:
    """Return the initial value of one state, the same for all rows; None if the graph does not fix it."""
    node, value = inputs.node, inputs.values.get(name)
    if value is None:
        return None
    if isinstance(value, Filled):
        return np.full((count, hidden), value.value, np.float32)
    if isinstance(value, Signal) and not value.layers:
        inputs.use_state(node, value)
        return None
    if not isinstance(value, Constant):
        raise node.refused(f"{name} is computed from the input", expected="a constant, or an input of the graph")
    array = inputs.array(name, 3)
    assert array is not None
    rows = array if node.attribute("layout", 0) else array.swapaxes(0, 1)
    if rows.shape[1:] != (count, hidden) or not len(rows):
        raise node.refused(f"{name} has another shape", expected=str([count, "rows", hidden]), actual=str(array.shape))
    if (rows != rows[0]).any():
        raise node.refused(f"{name} begins rows with different states", expected="the same state for every row")
    return np.ascontiguousarray(rows[0])


def _check_lengths(inputs: Inputs, steps: Part) -> None:
    """Note lengths that are an input. Raise ImportRefused for constants that are not the whole sequence."""
    node, value = inputs.node, inputs.values.get("sequence_lens")
    if value is None:
        return
    if isinstance(value, Signal) and not value.layers:
        inputs.use_lengths(node, value)
    elif not isinstance(value, Constant) or steps.size is None or (value.array != steps.size).any():
        raise node.refused(
            "sequence_lens are fixed, and not all are the whole length of the sequence",
            expected="an input of the graph: lengths belong to requests",
        )
