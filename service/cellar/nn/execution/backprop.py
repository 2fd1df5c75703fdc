"""Runs the layers of a network forward and backward one by one, for training.

All arithmetic is in kernels of `cellar.engine`, with one exception: if several layers read a signal, its gradients are
added here, those of later layers first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import INPUT, CompiledCell, Forward, PackedWeights, Signal, Tape
from cellar.nn.execution.dropout import Masks
from cellar.nn.model.layer import Layer

Array = NDArray[np.float32]
Lengths = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Part:
    """A layer with its kernel and weights, and the columns of its state in a row of the network's."""

    layer: Layer
    kernel: CompiledCell
    packed: PackedWeights
    columns: slice | None
    """None: the layer begins every call with `initial`."""
    initial: Array
    """(1, S)"""


@dataclass(frozen=True, slots=True)
class Trace:
    """A forward pass, as `backward` needs it."""

    tapes: tuple[Tape | None, ...]
    """A tape for each layer; None of a dropout layer without a mask, and of all layers where nothing was saved."""
    lengths: Lengths | None


@dataclass(frozen=True, slots=True)
class Passed:
    """What came out of each layer, (T, B, size) each, the states of those that carry one, and the trace."""

    outputs: tuple[Array, ...]
    state: Array
    faults: tuple[Forward, ...]
    trace: Trace


@dataclass(frozen=True, slots=True)
class Returned:
    """Gradients of the weights by name, trained initial states included where each call begins with them; of the input
    of the first layers (T, B, size); and of the state (B, state_size)."""

    weights: dict[str, Array]
    inputs: Array
    state: Array
    initial: dict[str, Array]
    """Of the initial states of layers that begin every call with them, by layer and row: (B, S)."""


def forward(
    parts: Sequence[Part], inputs: Array, state: Array, lengths: Lengths | None, masks: Masks, *, save: bool
) -> Passed:
    """Run all layers. `masks` are those of dropout layers; one without a mask does nothing.

    Without `save` there are no tapes in the trace.
    """
    outputs: list[Array] = []
    tapes: list[Tape | None] = []
    results: list[Forward] = []
    after = np.empty_like(state)
    for index, part in enumerate(parts):
        read = [side_by_side(signal, inputs, outputs) for signal in part.layer.reads]
        if part.layer.dropout is not None:
            if index not in masks:
                outputs.append(read[0])
                tapes.append(None)
                continue
            read.append(masks[index])
        before = _state_before(part, state)
        result = part.kernel.forward(part.packed, [_turned(part, a, lengths) for a in read], before, lengths, save=save)
        if part.columns is not None:
            after[:, part.columns] = result.state
        outputs.append(_turned(part, result.outputs, lengths))
        tapes.append(result.tape)
        results.append(result)
    return Passed(tuple(outputs), after, tuple(results), Trace(tuple(tapes), lengths))


def backward(
    parts: Sequence[Part],
    trace: Trace,
    output: Signal,
    d_outputs: Array,
    d_state: Array | None,
    *,
    want_inputs: bool,
    into: Mapping[str, Array] | None,
) -> Returned:
    """Return the gradients of a traced pass, given those of the signal `output` and of the state after it.

    Without `want_inputs` those of the input are not computed where no other layer needs them, and mean nothing. With
    `into`, gradients by name of all weights, the sums of the gradients of parameters are added to these.
    """
    sums = _Gradients(parts)
    sums.add(output, d_outputs)
    weights: dict[str, Array] = {}
    initial: dict[str, Array] = {}
    state_size = sum(part.kernel.cell.state_size for part in parts if part.columns is not None)
    before = np.empty((d_outputs.shape[1], state_size), np.float32)
    for index in reversed(range(len(parts))):
        part, tape = parts[index], trace.tapes[index]
        d_output = sums.take(index)
        if tape is None:
            sums.add(part.layer.reads[0], d_output)
            continue
        d_after = None if d_state is None or part.columns is None else np.ascontiguousarray(d_state[:, part.columns])
        wanted = want_inputs or any(signal != INPUT for signal in part.layer.reads)
        d_output = _turned(part, d_output, trace.lengths)
        result = part.kernel.backward(part.packed, tape, d_output, d_after, into=_own(part, into), want_inputs=wanted)
        for signal, d_input in zip(part.layer.reads, result.d_inputs, strict=False):  # a mask has no signal
            sums.add(signal, _turned(part, d_input, trace.lengths))
        weights |= {f"{part.layer.name}.{name}": gradient for name, gradient in result.d_params.items()}
        if part.columns is not None:
            before[:, part.columns] = result.d_state
        else:
            initial[part.layer.name] = result.d_state
    return Returned(weights, sums.take(-1) if want_inputs else d_outputs[:, :, :0], before, initial)


def side_by_side(signal: Signal, inputs: Array, outputs: Sequence[Array]) -> Array:
    """Return the numbers (T, B, size) of a signal."""
    arrays = [inputs if number < 0 else outputs[number] for number in signal]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=2)


class _Gradients:
    """The gradients of the layers' outputs, and under -1 that of the input, while they add up."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._sizes = [part.kernel.cell.out_size for part in parts]
        self._sums: dict[int, Array] = {}

    def add(self, signal: Signal, gradient: Array) -> None:
        """Add the gradient of a signal to those of the layers in it."""
        for number, part in self._split(signal, gradient):
            there = self._sums.get(number)
            self._sums[number] = part if there is None else there + part

    def take(self, number: int) -> Array:
        """Return the sum of the gradients of a layer's output. Every layer of a network is read by another one."""
        return np.ascontiguousarray(self._sums.pop(number), dtype=np.float32)

    def _split(self, signal: Signal, gradient: Array) -> Iterator[tuple[int, Array]]:
        if len(signal) == 1:
            yield signal[0], gradient
            return
        column = 0
        for number in signal:
            yield number, gradient[:, :, column : column + self._sizes[number]]
            column += self._sizes[number]


def _own(part: Part, weights: Mapping[str, Array] | None) -> dict[str, Array]:
    """Return what belongs to the parameters of a layer, by the names that its cell has for them."""
    names = [param.name for param in part.kernel.cell.params]
    return {} if weights is None else {name: weights[f"{part.layer.name}.{name}"] for name in names}


def _state_before(part: Part, state: Array) -> Array:
    if part.columns is None:
        return np.repeat(part.initial, state.shape[0], axis=0)
    return np.ascontiguousarray(state[:, part.columns], dtype=np.float32)


def _turned(part: Part, array: Array, lengths: Lengths | None) -> Array:
    """Return what a layer reads or answers in the order of its steps: turned back, each row from its own end."""
    return turned(array, lengths) if part.layer.reverse else array


def turned(array: Array, lengths: Lengths | None) -> Array:
    """Return (T, B, size) with the first `lengths` steps of each row in reverse order; twice is as before."""
    if lengths is None:
        return np.ascontiguousarray(array[::-1])
    steps = np.arange(len(array))[:, None]
    ends = np.minimum(lengths, len(array))[None, :]
    order = np.where(steps < ends, ends - 1 - steps, steps)
    found: Array = np.take_along_axis(array, order[:, :, None], axis=0)
    return found
