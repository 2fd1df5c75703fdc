"""Where inputs, outputs and states of a graph stand in the numbers of a row, and the sizes that follow.

The record of a row holds its states one after the other, each as its elements in C order without the axis of rows,
packed as `element_types` says. Tensors of one row are parts of its numbers: nothing is copied.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cellar.errors import InvalidInput, TypeMismatch
from cellar.onnx_graph.element_types import Array, Floats, are_words, pack, unpack
from cellar.onnx_graph.spec import HostedGraph, StateSpec, TensorSpec

RESERVED = frozenset({"layer", "cell"})
"""Other members of the JSON of states."""


class TensorPlace:
    """The columns of a tensor in the numbers of a row, and its shape."""

    __slots__ = ("_axis", "_row_shape", "_shape", "columns", "dtype", "is_packed", "kind", "spec")

    def __init__(self, spec: TensorSpec, columns: slice) -> None:
        self.spec = spec
        self.columns = columns
        self.kind = spec.kind
        self.dtype: np.dtype[Any] = spec.kind.dtype
        self.is_packed = self.kind.words > 1
        self._axis = spec.batch_axis
        self._row_shape = spec.row_shape
        self._shape = spec.full_shape(1)

    @property
    def is_shared(self) -> bool:
        """Return whether all rows of a run have it in common."""
        return self._axis is None

    def input(self, numbers: Floats, rows: int) -> Array:
        """Return the numbers (b, in_size) of an input as its tensor."""
        own = numbers[:, self.columns] if self._axis is not None else numbers[:1, self.columns]
        return self._tensor(own.astype(self.dtype, copy=False), rows)

    def state(self, record: Floats, rows: int) -> Array:
        """Return a state in records (b, state_size) as its tensor."""
        words = record[:, self.columns]
        return self._tensor(unpack(words, self.kind) if self.is_packed else words.astype(self.dtype, copy=False), rows)

    def _tensor(self, elements: Array, rows: int) -> Array:
        if rows == 1:
            return elements.reshape(self._shape)
        if not self._axis:
            return elements.reshape(self.spec.full_shape(rows))
        return np.ascontiguousarray(np.moveaxis(elements.reshape(rows, *self._row_shape), 0, self._axis))

    def elements(self, value: Array, rows: int) -> Array:
        """Return a tensor as the elements (b, size) of rows. Raise ValueError for another shape."""
        expected = self._shape if rows == 1 else self.spec.full_shape(rows)
        if value.shape != expected:
            raise ValueError(f"{self.spec.name} has the shape {value.shape}, and had {expected}")
        if rows == 1 or not self._axis:
            return value.reshape(rows, -1)
        return np.moveaxis(value, self._axis, 0).reshape(rows, -1)

    def words(self, value: Array, rows: int) -> Floats:
        """Return the tensor of a state as parts of records (b, size). Raise ValueError for another shape."""
        return pack(self.elements(value, rows), self.kind)


class StatePlace(TensorPlace):
    """The place of a state; implements `model_protocol.StatePlace`."""

    __slots__ = ("cell", "layer", "name", "offset", "size")

    def __init__(self, spec: StateSpec, layer: int, offset: int) -> None:
        self.size = spec.size * spec.kind.words
        super().__init__(spec, slice(offset, offset + self.size))
        self.layer = layer
        self.offset = offset
        self.name = f"{spec.name}_" if spec.name in RESERVED else spec.name
        self.cell = f"onnx.{spec.type}"


class GraphSizes:
    """The sizes of a hosted graph; implements `model_protocol.Sizes`."""

    whole_sequences = bits_promised = False
    row_reader = None

    def __init__(self, graph: HostedGraph) -> None:
        self.graph = graph
        self.in_size = sum(tensor.size for tensor in graph.inputs)
        self.out_size = sum(tensor.size for tensor in graph.outputs)
        self.states = _places(graph.states)
        self.state_size = sum(place.size for place in self.states)
        self.row_numbers = self.in_size + self.out_size + self.state_size
        self.inputs = _columns(graph.inputs)
        self.outputs = _columns(graph.outputs)
        self._checked = [place for place in self.inputs if place.spec.type != "float32"]

    @property
    def takes_ids(self) -> bool:
        """Whether inputs must be checked: those that are no float32."""
        return bool(self._checked)

    def check_inputs(self, inputs: Floats, pointer: str = "") -> None:
        """Raise TypeMismatch unless the numbers of integer inputs (T, rows, in_size) are integers in their range."""
        for place in self._checked:
            tensor, values = place.spec, inputs[:, :, place.columns]
            if tensor.kind.is_real:
                with np.errstate(over="ignore"):
                    wrong = ~np.isfinite(values.astype(tensor.kind.dtype))
                expected = f"a number that {tensor.type} can hold"
            else:
                low, high = tensor.kind.limits
                wrong = ~((values >= low) & (values <= high) & (values == np.floor(values)))
                expected = f"a whole number from {low} to {high}"
            if wrong.any():
                step, row, number = np.argwhere(wrong)[0].tolist()
                raise TypeMismatch(
                    f"the input {tensor.name!r} is {tensor.type}: step {step}, row {row}, number {number}, from 0",
                    pointer=pointer,
                    expected=expected,
                    actual=f"{values[step, row, number]:.9g}",
                )

    def check_states(self, states: Floats, pointer: str = "") -> None:
        """Raise InvalidInput unless states (rows, state_size) are elements of their types."""
        for place in self.states:
            if not are_words(states[:, place.columns], place.kind):
                raise InvalidInput(
                    f"the state {place.name!r} is {place.spec.type}",
                    pointer=pointer,
                    expected=f"elements as they are read, {place.kind.words} numbers each",
                )


def _places(states: Sequence[StateSpec]) -> tuple[StatePlace, ...]:
    found: list[StatePlace] = []
    offset = 0
    for layer, state in enumerate(states):
        found.append(StatePlace(state, layer, offset))
        offset += found[-1].size
    return tuple(found)


def _columns(tensors: Sequence[TensorSpec]) -> tuple[TensorPlace, ...]:
    found: list[TensorPlace] = []
    offset = 0
    for tensor in tensors:
        found.append(TensorPlace(tensor, slice(offset, offset + tensor.size)))
        offset += tensor.size
    return tuple(found)
