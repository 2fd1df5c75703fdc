"""A network with kernels, and with weights: forward over whole sequences, and back.

Everything that computes floats here is a kernel of `cellar.engine`; this file only moves arrays between layers.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellar.engine import (
    Backward,
    Cell,
    CompiledCell,
    Forward,
    KernelCache,
    Node,
    Packed,
    Program,
    Run,
    compile_cells,
    kernel_texts,
)
from cellar.errors import ShapeMismatch
from cellar.nn.arithmetic import Arithmetic

if TYPE_CHECKING:
    from cellar.nn.chain import Network

Array = NDArray[np.float32]
Lengths = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Gradients:
    """Gradients of the layers' weights by name, of the inputs (T, B, in_size), and of the state (B, state_size)."""

    weights: dict[str, Array]
    inputs: Array
    state: Array
    """Of the state that the run began with. Initial states are weights too where they are trained, but only the caller
    knows whether the run began with them: see `initial_gradients`."""


class CompiledNetwork:
    """A network with a kernel for every layer. Holds no weights; layers of equal structure share a kernel."""

    def __init__(self, network: "Network", cache: KernelCache) -> None:
        self.network = network
        self._cache = cache
        self.arithmetic = Arithmetic(cache)
        self.kernels: tuple[CompiledCell, ...] = tuple(compile_cells([layer.cell for layer in network.layers], cache))

    def prepare_training(self, differentiated: Sequence[Cell], plain: Sequence[Cell]) -> None:
        """Compile what training needs, the layers' kernels and those of other cells, all at once. Raise CompileFailed.

        A compiler takes longer to start than to compile one small kernel.
        """
        layers = [layer.cell for layer in self.network.layers]
        self._cache.load([*kernel_texts([*layers, *differentiated], training=True), *kernel_texts(plain)])

    def program(self, layers: Sequence[tuple[CompiledCell, Packed]]) -> Program:
        """Return the one call that runs these layers, each on what the one before it answers."""
        nodes: list[Node] = []
        offset = 0
        for index, (kernel, packed) in enumerate(layers):
            size = kernel.cell.state_size
            zeros = np.zeros(size, np.float32)
            nodes.append(Node(kernel, packed, ((index - 1,),), offset, zeros, np.empty_like(zeros)))
            offset += size
        return Program(nodes, (len(nodes) - 1,), self.network.in_size, offset, self._cache)

    def bind(self, weights: Mapping[str, Array]) -> "BoundNetwork":
        """Return the network with these weights, packed for its kernels. Raise InvalidInput if they do not fit."""
        self.network.check_weights(weights)
        return BoundNetwork(self, weights)


class BoundNetwork:
    """A network ready to run. Immutable, so that threads may share it; kernels release the GIL."""

    def __init__(self, compiled: CompiledNetwork, weights: Mapping[str, Array]) -> None:
        self.network = compiled.network
        self._compiled = compiled
        self._layers: tuple[tuple[CompiledCell, Packed], ...] = tuple(
            (kernel, kernel.pack({param.name: weights[f"{index}.{param.name}"] for param in layer.cell.params}))
            for index, (kernel, layer) in enumerate(zip(compiled.kernels, self.network.layers, strict=True))
        )
        sizes = [layer.cell.state_size for layer in self.network.layers]
        self._slices = tuple(slice(sum(sizes[:index]), sum(sizes[: index + 1])) for index in range(len(sizes)))
        self._initial = np.zeros((1, self.network.state_size), dtype=np.float32)
        self._load_initial(weights)

    def reload(self, weights: Mapping[str, Array]) -> None:
        """Take other weights, flushed and known to fit, in the place of the old ones. Nobody may run meanwhile."""
        for index, (kernel, packed) in enumerate(self._layers):
            packed.reload({param.name: weights[f"{index}.{param.name}"] for param in kernel.cell.params})
        self._load_initial(weights)

    def _load_initial(self, weights: Mapping[str, Array]) -> None:
        for place in _trained_states(self.network):
            self._initial[0, place.columns] = weights[place.name]

    @functools.cached_property
    def program(self) -> Program:
        """The one call that runs all layers; made when it is first needed, which in training it is not."""
        return self._compiled.program(self._layers)

    def initial_state(self, rows: int) -> Array:
        """Return the state (rows, state_size) that a sequence begins with: zeros, or what was trained."""
        return np.repeat(self._initial, rows, axis=0)

    def run(self, inputs: Array, state: Array, lengths: Lengths | None = None, *, save: bool = False) -> Run:
        """Step T times. Arguments are never changed.

        `inputs` (T, B, in_size), `state` (B, state_size), `lengths` (B,) or None for T each: a row stops at its
        length, with its state kept and its outputs zero. Raise ShapeMismatch.
        """
        if not save:
            return self.program.run(inputs, state, lengths)
        self._check(inputs, state, lengths)
        new_state = np.empty_like(state, dtype=np.float32)
        results: list[Forward] = []
        signal = np.ascontiguousarray(inputs, dtype=np.float32)
        for (kernel, packed), columns in zip(self._layers, self._slices, strict=True):
            before = np.ascontiguousarray(state[:, columns], dtype=np.float32)
            result = kernel.forward(packed, (signal,), before, lengths, save=True)
            new_state[:, columns] = result.state
            signal = result.outputs
            results.append(result)
        tapes = tuple(result.tape for result in results if result.tape is not None)
        return Run(signal, new_state, *_first_bad(results), tapes)

    def backward(self, run: Run, d_outputs: Array, d_state: Array | None = None) -> Gradients:
        """Return the gradients of a run that saved its tapes.

        `d_outputs` (T, B, out_size) and `d_state` (B, state_size), zeros if None, are those of what the run answered.
        """
        weights: dict[str, Array] = {}
        d_before = np.empty((d_outputs.shape[1], self.network.state_size), dtype=np.float32)
        signal = np.ascontiguousarray(d_outputs, dtype=np.float32)
        for index in reversed(range(len(self._layers))):
            kernel, packed = self._layers[index]
            columns = self._slices[index]
            d_after = None if d_state is None else np.ascontiguousarray(d_state[:, columns], dtype=np.float32)
            result: Backward = kernel.backward(packed, run.tapes[index], signal, d_after)
            weights |= {f"{index}.{name}": gradient for name, gradient in result.d_params.items()}
            d_before[:, columns] = result.d_state
            signal = result.d_inputs[0]
        return Gradients(weights, signal, d_before)

    def initial_gradients(self, d_state: Array) -> dict[str, Array]:
        """Return the gradients of the trained initial states, if a run began with them: sums over rows of its own."""
        arithmetic = self._compiled.arithmetic
        return {s.name: arithmetic.column_sums(d_state[:, s.columns]) for s in _trained_states(self.network)}

    def _check(self, inputs: Array, state: Array, lengths: Lengths | None) -> None:
        rows = state.shape[0]
        _check_shape("inputs", inputs.shape, (inputs.shape[0], rows, self.network.in_size))
        _check_shape("state", state.shape, (rows, self.network.state_size))
        if lengths is not None:
            _check_shape("lengths", lengths.shape, (rows,))


@dataclass(frozen=True, slots=True)
class _TrainedState:
    name: str
    columns: slice


def _trained_states(network: "Network") -> list[_TrainedState]:
    return [
        _TrainedState(f"{place.layer}.{place.name}0", slice(place.offset, place.offset + place.size))
        for place in network.states
        if network.layers[place.layer].trainable
    ]


def _first_bad(results: Sequence[Forward]) -> tuple[Lengths | None, Lengths | None]:
    """Return step and kind of the first fault of each row over all layers; of one step, in its first layer."""
    if all((result.bad_step < 0).all() for result in results):
        return None, None
    step, kind = results[0].bad_step, results[0].bad_kind
    for result in results[1:]:
        if (result.bad_step >= 0).any():
            earlier = (result.bad_step >= 0) & ((step < 0) | (result.bad_step < step))
            step, kind = np.where(earlier, result.bad_step, step), np.where(earlier, result.bad_kind, kind)
    return step, kind


def _check_shape(name: str, actual: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if actual != expected:
        raise ShapeMismatch(f"{name} have another shape", expected=str(expected), actual=str(actual))
