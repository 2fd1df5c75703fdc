"""Networks with compiled kernels, without and with weights, which run forward over sequences."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from cellar.engine import (
    Cell,
    CompiledCell,
    Floats,
    Ints,
    KernelCache,
    Mask,
    NetworkCode,
    NetworkProgram,
    NodeWeights,
    PackedWeights,
    PlanNode,
    Run,
    Signal,
    States,
    command_list_text,
    compile_cells,
    kernel_texts,
)
from cellar.errors import CellLimitError, CompileFailed, ShapeMismatch
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.model.embedding import look_up
from cellar.nn.model.layer import Layer
from cellar.nn.model.lowering import served
from cellar.nn.model.network import Network

NETWORK_BYTES, LAYER_BYTES = 8 * 1024, 16 * 1024
"""Memory of a network without weights besides the frames of its calls, and of each of its layers: 20 to 97 KB were
measured with one to four layers."""

BOUND_BYTES, BOUND_LAYER_BYTES = 1024, 3 * 1024
"""Memory of a network with weights besides its arrays, and of each of its layers."""


@dataclass(frozen=True, slots=True)
class Part:
    """A layer with its kernel and weights, and the columns of its state in a row of the state of the network."""

    layer: Layer
    kernel: CompiledCell
    packed: PackedWeights
    columns: slice | None
    """None if the layer begins every call with `initial`."""
    initial: Floats
    """(1, S)"""


@contextmanager
def _pointing_to_cells(layers: Sequence[Layer]) -> Iterator[None]:
    """Convert the error of a kernel that exceeds the compiler's limits to a CellLimitError of its layer."""
    try:
        yield
    except CompileFailed as error:
        for layer in layers if error.exceeded else ():
            if error.text in kernel_texts([layer.cell], training=True):
                pointer = f"{layer.pointer}/cell/equations" if layer.label == "custom" else layer.pointer
                raise CellLimitError(error.detail, pointer=pointer, expected="a smaller cell") from error
        raise


class CompiledNetwork:
    """A network with a kernel for each layer, without weights. Layers of equal structure share a kernel.

    Raise CompileFailed, or CellLimitError for a cell whose compilation exceeds the limits of time or memory.
    """

    def __init__(self, network: Network, cache: KernelCache) -> None:
        self.network = network
        self._cache = cache
        self.arithmetic = Arithmetic(cache)
        with _pointing_to_cells(network.layers):
            compiled = compile_cells([layer.cell for layer in network.layers], cache)
        self.kernels: tuple[CompiledCell, ...] = tuple(compiled)
        self.packing_bytes = 0
        """The memory of its index of weights (`packing.py`), once it has one."""
        self.columns = tuple(_columns(network))
        """Of the state of each layer in a row of the network's state; None if no call continues it."""

    @property
    def size_bytes(self) -> int:
        """The memory that models of the network share, besides machine code: objects, and the frames of calls."""
        layers = len(self.network.layers)
        frames = self.code.size_bytes if "code" in vars(self) else 0
        return NETWORK_BYTES + LAYER_BYTES * layers + frames + self.packing_bytes

    def prepare_training(self, differentiated: Sequence[Cell], plain: Sequence[Cell]) -> None:
        """Compile the kernels for training, of the layers and of other cells, all at once. Raise CompileFailed.

        The start of a compiler takes longer than the compilation of a small kernel.
        """
        layers = [layer.cell for layer in self.network.layers]
        texts = [*kernel_texts([*layers, *differentiated], training=True), *kernel_texts(plain), command_list_text()]
        with _pointing_to_cells(self.network.layers):
            self._cache.load(texts)

    @functools.cached_property
    def code(self) -> NetworkCode:
        """The code that runs all layers in one native call, without dropout. Models of the network share it."""
        layers, network = self.network.layers, self.network
        node_of = {-1: -1} | {index: number for number, index in enumerate(self.served_layers)}

        def read(signal: Signal) -> Signal:
            """Return the nodes of a signal, without layers that exist only in training."""
            return tuple(node_of[number] for number in served(layers, signal))

        nodes = [
            PlanNode(
                self.kernels[index],
                tuple(read(signal) for signal in layers[index].reads),
                None if (columns := self.columns[index]) is None else columns.start,
                layers[index].reverse,
            )
            for index in self.served_layers
        ]
        return NetworkCode(nodes, read(network.output), network.first_size, network.state_size, self._cache)

    @functools.cached_property
    def served_layers(self) -> tuple[int, ...]:
        """The indices of the layers without those that exist only in training."""
        return tuple(index for index, layer in enumerate(self.network.layers) if layer.dropout is None)

    def bind(self, weights: Mapping[str, Floats], *, inference: bool = False) -> "BoundNetwork":
        """Return the network with these weights, packed for its kernels as the network says.

        For inference it has no gradients and keeps nothing of `weights`. Raise InvalidInput if they do not fit.
        """
        self.network.check_weights(weights)
        bfloat16 = self.network.spec.weight_storage == "bfloat16"
        return BoundNetwork(self, weights, bfloat16=bfloat16, inference=inference)


class BoundNetwork:
    """A network with weights. Immutable, so that threads can share it; kernels release the GIL.

    With `bfloat16` matrices are kept as bfloat16. With it, or with `inference`, the network has no gradients, and only
    the packed matrices are in memory.
    """

    def __init__(
        self,
        compiled: CompiledNetwork,
        weights: Mapping[str, Floats],
        *,
        bfloat16: bool = False,
        inference: bool = False,
    ) -> None:
        self.network = compiled.network
        self._compiled = compiled
        self.bfloat16 = bfloat16
        self.inference = inference or bfloat16
        self.parts = _parts(compiled, weights, bfloat16=bfloat16, inference=inference)
        self._table = None if self.network.embedding is None else weights[self.network.embedding.name]
        if self.inference and self._table is not None:
            self._table = self._table.copy()  # as a part of the file of weights it would keep all of it in memory
        carried = [part.initial for part in self.parts if part.columns is not None]
        self.initial = np.concatenate([np.zeros((1, 0), np.float32), *carried], axis=1)
        """(1, state_size): the initial state of a sequence."""

    @property
    def size_bytes(self) -> int:
        """The memory of the weights as they are kept, and of the objects that hold them."""
        table = 0 if self._table is None else self._table.nbytes
        arrays = sum(part.packed.size_bytes + part.initial.nbytes for part in self.parts)
        return BOUND_BYTES + BOUND_LAYER_BYTES * len(self.parts) + table + self.initial.nbytes + arrays

    def adopt(self, weights: Mapping[str, Floats]) -> None:
        """Read the weights from these arrays from now on. They must be flushed and equal to the present weights."""
        for part in self.parts:
            part.packed.adopt(
                {param.name: weights[f"{part.layer.name}.{param.name}"] for param in part.layer.cell.params}
            )
        if self.network.embedding is not None:
            self._table = weights[self.network.embedding.name]

    def placed(self, weights: Mapping[str, Floats]) -> Iterator[tuple[Floats, Floats]]:
        """Yield each adopted weight with a place from which kernels read it.

        Further kernels may have further places: call it again when `places` has changed.
        """
        for part in self.parts:
            yield from part.packed.placed()
            for name, columns in part.layer.starts:
                yield weights[name], part.initial[0, columns]
                if part.columns is not None:
                    yield weights[name], self.initial[0, part.columns][columns]

    @property
    def places(self) -> int:
        """Return the number of packed forms of matrices, which grows with the kernels that were run."""
        return sum(len(part.packed.panels) for part in self.parts)

    @functools.cached_property
    def program(self) -> NetworkProgram:
        """The program that runs all layers, created when it is first needed. Training may not need it."""
        kept = (self.parts[index] for index in self._compiled.served_layers)
        return NetworkProgram(self._compiled.code, [NodeWeights(part.packed, part.initial[0]) for part in kept])

    @functools.cached_property
    def advance(self) -> Callable[[Floats, States, Ints | None, Mask | None], Run]:
        """Do the same as `run`, on this thread: the arguments are the first three of `run`, and `reset`.

        Sessions call it for single steps, for which the time of each Python call matters.
        """
        if self._table is not None or self.network.readings is not None:
            return self._advance_first
        return functools.partial(self.program.code.run, self.program.all_rows)

    @functools.cached_property
    def code(self) -> NetworkCode | None:
        """The code whose calls may have rows of several models, with `rows`; None with an embedding or readings."""
        return self._compiled.code if self._table is None and self.network.readings is None else None

    def rows(self, count: int) -> bytes:
        """Return the words that name `count` rows of this model in a call of `code`."""
        return self.program.rows(count)

    def _advance_first(self, inputs: Floats, state: States, lengths: Ints | None, reset: Mask | None) -> Run:
        return self.run(inputs, state, lengths, reset=reset)

    def initial_state(self, rows: int) -> Floats:
        """Return the initial state (rows, state_size) of a sequence: zeros, or the trained values."""
        return np.repeat(self.initial, rows, axis=0)

    def run(
        self,
        inputs: Floats,
        state: States,
        lengths: Ints | None = None,
        *,
        reset: Mask | None = None,
        executor: Executor | None = None,
    ) -> Run:
        """Step T times, without dropout. Arguments are never changed.

        `inputs` (T, B, in_size), `state` (B, state_size) or a tuple of its records, `lengths` (B,) or None for T each:
        a row stops at its length: its state is kept and its outputs are zero. Inputs of an embedding must be checked
        ids (`Network.check_inputs`). Rows under the mask `reset` (B,) begin with the initial state instead. With an
        executor, wide batches are divided among its threads. Raise ShapeMismatch.
        """
        found = self.looked_up(inputs)
        if executor is not None and (parts := self.program.parts(*inputs.shape[:2])) > 1:
            return self.program.run_parts(found, state, executor, parts, lengths=lengths, reset=reset)
        return self.program.run(found, state, lengths, reset)

    def looked_up(self, inputs: Floats) -> Floats:
        """Return the input of the first layer: inputs (T, B, in_size), encoded readings, or rows of the table for ids.

        Raise ShapeMismatch.
        """
        if self.network.readings is not None:
            return self.network.readings.encode(inputs)
        if self._table is None:
            return inputs
        if inputs.shape[2:] != (1,):
            raise ShapeMismatch("inputs have another shape", expected="(1,)", actual=str(inputs.shape[2:]))
        return look_up(self._table, inputs)

    @functools.cached_property
    def flops(self) -> int:
        """The number of floating-point operations of a step of one row."""
        return self._compiled.code.flops


def _parts(
    compiled: CompiledNetwork, weights: Mapping[str, Floats], *, bfloat16: bool, inference: bool
) -> tuple[Part, ...]:
    """Return the layers with their weights."""
    found: list[Part] = []
    for kernel, layer, columns in zip(compiled.kernels, compiled.network.layers, compiled.columns, strict=True):
        own = {param.name: weights[f"{layer.name}.{param.name}"] for param in layer.cell.params}
        packed = kernel.pack(own, bfloat16=bfloat16, inference=inference)
        found.append(Part(layer, kernel, packed, columns, _initial(layer, weights)[None]))
    return tuple(found)


def _columns(network: Network) -> Iterator[slice | None]:
    """Yield the columns of each layer's state. The states of layers that carry one are consecutive in a row."""
    offset = 0
    for layer in network.layers:
        yield None if network.whole_sequences else slice(offset, offset + layer.cell.state_size)
        offset += layer.cell.state_size


def _initial(layer: Layer, weights: Mapping[str, Floats]) -> Floats:
    """Return the initial state (S,) of a layer."""
    starts = [weights.get(f"{layer.name}.{s.name}0", np.zeros(s.size, np.float32)) for s in layer.cell.states]
    return np.concatenate([np.zeros(0, np.float32), *starts])
