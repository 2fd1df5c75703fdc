"""A compiled cell: weights packed for its kernels, and the calls that run them.

A call fills the kernel's descriptor from its layout and runs it once; kernels hold no state, so several threads may
run one cell. Nothing is written to the caller's arrays.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine.cache import Function, KernelCache
from cellar.engine.cell import Cell
from cellar.engine.codegen import KernelText, backward_text, forward_text
from cellar.engine.graph import Node
from cellar.engine.layout import Layout, Slot, row_bytes, width_bytes
from cellar.engine.schedule import Products
from cellar.engine.schedule import tape as taped_nodes
from cellar.errors import ShapeMismatch, StartupError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

CHUNK_ROWS = 1024
"""Rows (steps times batch) that one chunk of a forward pass keeps in scratch memory: some MB at hidden 256."""

_PROBE = np.array([2.0**-149, 2.0**-100, 2.0**-30], np.float32)
_FLUSH_BELOW = np.float32(2.0**-63)


@dataclass(frozen=True)
class Packed:
    """Weights in the order in which the kernels of one cell read them."""

    weights: Mapping[str, Floats]
    vectors: Mapping[str, Floats]
    groups: dict[tuple[str, ...], Floats] = field(default_factory=dict)
    """Packed panels by the names of their matrices, the first word "t" where they are transposed."""


@dataclass(frozen=True, slots=True)
class Forward:
    """`outputs` (T, B, out), the new `state` (B, S), and for each row its first bad step (-1: none) and its kind.

    Kind 1: a state would not be finite; kind 2: an output. `tape` is what `backward` needs, if it was asked for.
    """

    outputs: Floats
    state: Floats
    bad_step: Ints
    bad_kind: Ints
    tape: "Tape | None"


@dataclass(frozen=True, slots=True)
class Tape:
    """What a forward pass left behind."""

    steps: int
    rows: int
    lengths: Ints
    places: tuple[tuple[int, int], ...]
    """Address and row stride of every taped value."""
    arena: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Backward:
    """Gradients: `d_inputs` (T, B, size) each, `d_state` (B, S) of the initial state, `d_params` by name."""

    d_inputs: tuple[Floats, ...]
    d_state: Floats
    d_params: dict[str, Floats]


class CompiledCell:
    """A cell and its kernels. The kernels for training are compiled when they are first used."""

    def __init__(self, cell: Cell, cache: KernelCache) -> None:
        self.cell = cell
        self._cache = cache
        self._infer = _Kernel(cell, cache, forward_text(cell, save=False))
        self._training: tuple[_Kernel, _Kernel] | None = None
        self._lock = threading.Lock()

    def prepare_training(self) -> None:
        """Compile what `forward(save=True)` and `backward` need."""
        self._training_kernels()

    def _training_kernels(self) -> "tuple[_Kernel, _Kernel]":
        with self._lock:
            if self._training is None:
                texts = (forward_text(self.cell, save=True), backward_text(self.cell))
                self._cache.load([text.text for text in texts])
                forward, backward = (_Kernel(self.cell, self._cache, text) for text in texts)
                self._training = (forward, backward)
            return self._training

    def pack(self, weights: Mapping[str, Floats]) -> Packed:
        """Return the weights packed. Raise ShapeMismatch for a parameter that is missing or has another shape."""
        clean: dict[str, Floats] = {}
        for param in self.cell.params:
            given = weights.get(param.name)
            if given is None or given.shape != param.shape:
                actual = "nothing" if given is None else str(given.shape)
                raise ShapeMismatch(f"parameter {param.name}", expected=str(param.shape), actual=actual)
            clean[param.name] = _flushed(np.asarray(given, np.float32))
        vectors = {name: _padded(value) for name, value in clean.items() if value.ndim < 2}
        return Packed(clean, vectors)

    def forward(
        self,
        packed: Packed,
        inputs: Sequence[Floats],
        state: Floats,
        lengths: Ints | None = None,
        *,
        save: bool = False,
    ) -> Forward:
        """Run T steps of B rows.

        `inputs` are (T, B, size) each and `state` is (B, S), float32. A row whose length is at most t is frozen at
        step t: its state stays, its output is 0. With `save` the result carries the tape for `backward`.
        """
        steps, rows = inputs[0].shape[:2]
        call = _Call(self._training_kernels()[0] if save else self._infer, packed, steps, rows, lengths)
        if save:
            call.chunk = steps
        for index, (array, size) in enumerate(zip(inputs, self.cell.in_sizes, strict=True)):
            call.give("staged", index, _checked(array, (steps, rows, size)))
        call.give("carry_in", 0, _checked(state, (rows, self.cell.state_size)))
        outputs = call.make("result", 0, (steps, rows, self.cell.out_size))
        following = call.make("carry_out", 0, (rows, self.cell.state_size))
        call.run()
        tape = call.tape(taped_nodes(self.cell)) if save else None
        return Forward(outputs, following, call.bad_step, call.bad_kind, tape)

    def backward(
        self,
        packed: Packed,
        tape: Tape,
        d_outputs: Floats,
        d_state: Floats | None = None,
        *,
        into: Mapping[str, Floats] | None = None,
    ) -> Backward:
        """Run the adjoint back over a forward pass: `d_outputs` (T, B, out), `d_state` (B, S) of the final state.

        Gradients of parameters are sums over all steps and rows; with `into` they go on from the sums given.
        """
        cell = self.cell
        call = _Call(self._training_kernels()[1], packed, tape.steps, tape.rows, tape.lengths)
        call.chunk = tape.steps
        for index, (address, stride) in enumerate(tape.places):
            call.values[Slot("tape", index)] = address
            call.values[Slot("tape_row", index)] = stride
        call.give("staged", 0, _checked(d_outputs, (tape.steps, tape.rows, cell.out_size)))
        after = np.zeros((tape.rows, cell.state_size), np.float32) if d_state is None else d_state
        call.give("carry_in", 0, _checked(after, (tape.rows, cell.state_size)))
        d_inputs = tuple(call.make("result", i, (tape.steps, tape.rows, n)) for i, n in enumerate(cell.in_sizes))
        before = call.make("carry_out", 0, (tape.rows, cell.state_size))
        sums = {p.name: _padded(into[p.name]) if into else _padded(np.zeros(p.shape, np.float32)) for p in cell.params}
        for name, array in sums.items():
            call.give("grad", name, array)
        call.give("sums", 0, _aligned(16 * 64).view(np.float32))
        call.run()
        return Backward(d_inputs, before, {p.name: _unpadded(sums[p.name], p.shape) for p in cell.params})


def compile_cell(cell: Cell, cache: KernelCache) -> CompiledCell:
    """Return the cell with its kernel loaded, compiling it if nobody has yet. Raise CompileFailed."""
    return CompiledCell(cell, cache)


class _Kernel:
    """A loaded kernel and its layout."""

    def __init__(self, cell: Cell, cache: KernelCache, text: KernelText) -> None:
        self.cell = cell
        self.layout: Layout = text.layout
        self.run: Function = cache.load([text.text])[0]


class _Call:
    """One run of a kernel: its descriptor, and the arrays that must live while it runs."""

    def __init__(self, kernel: _Kernel, packed: Packed, steps: int, rows: int, lengths: Ints | None) -> None:
        self.kernel = kernel
        self.packed = packed
        self.steps, self.rows = steps, rows
        self.chunk = max(1, min(steps, CHUNK_ROWS // max(1, rows)))
        self.ragged = lengths is not None
        given = np.full(rows, steps) if lengths is None else lengths
        self.lengths = np.ascontiguousarray(given, np.int32)
        if self.lengths.shape != (rows,):
            raise ShapeMismatch("lengths", expected=f"({rows},)", actual=str(self.lengths.shape))
        self.bad_step = np.full(rows, -1, np.int32)
        self.bad_kind = np.zeros(rows, np.int32)
        self.values: dict[Slot, int] = {}
        self.arrays: list[NDArray[Any]] = []
        self.arena = np.zeros(0, np.uint8)

    def give(self, kind: Any, index: int | str, array: NDArray[Any]) -> None:
        """Bind a slot to an array."""
        self.arrays.append(array)
        self.values[Slot(kind, index)] = array.ctypes.data

    def make(self, kind: Any, index: int, shape: tuple[int, ...]) -> Floats:
        """Bind a slot to a new array for the kernel to fill, and return it."""
        array = np.empty(shape, np.float32)
        self.give(kind, index, array)
        return array

    def run(self) -> None:
        """Fill the descriptor and run the kernel."""
        sizes, layout = self.kernel.cell.sizes, self.kernel.layout
        for name, size in sizes.items():
            self.values[Slot("size", name)] = size
        for name, vector in self.packed.vectors.items():
            self.values[Slot("vector", name)] = vector.ctypes.data
        for index, stage in enumerate(layout.groups):
            self.values[Slot("group", index)] = _group(self.packed, stage).ctypes.data
        self._lay_buffers()
        head = (
            self.steps,
            self.rows,
            self.chunk,
            self.lengths.ctypes.data,
            self.bad_step.ctypes.data,
            self.bad_kind.ctypes.data,
            _PROBE.ctypes.data,
        )
        descriptor = np.array([*head, *(self.values[slot] for slot in layout.slots)], np.int64)
        if self.kernel.run(descriptor.ctypes.data) != 0:
            raise StartupError("this thread flushes subnormal numbers (FTZ or DAZ), which changes results")

    def _lay_buffers(self) -> None:
        sizes, layout = self.kernel.cell.sizes, self.kernel.layout
        spans = {"chunk": self.chunk * self.rows, "step": self.rows, "history": (self.chunk + 1) * self.rows}
        lengths = [spans[buffer.span] * row_bytes(buffer.widths, sizes) for buffer in layout.buffers]
        # Rows past their length are never written, and products read them: zeros keep them harmless.
        self.arena = _aligned(sum(lengths), clear=self.ragged)
        at = self.arena.ctypes.data
        for index, length in enumerate(lengths):
            self.values[Slot("buffer", index)] = at
            at += length

    def tape(self, nodes: Sequence[Node]) -> Tape:
        """Return where the values of these nodes stand, after a run that kept them."""
        sizes, layout = self.kernel.cell.sizes, self.kernel.layout
        places = []
        for node in nodes:
            place = layout.places[node]
            stride = row_bytes(layout.buffers[place.buffer].widths, sizes)
            base = self.values[Slot("buffer", place.buffer)]
            places.append((base + row_bytes(place.before, sizes), stride))
        return Tape(self.steps, self.rows, self.lengths, tuple(places), self.arena)


def _checked(array: Floats, shape: tuple[int, ...]) -> Floats:
    if array.shape != shape:
        raise ShapeMismatch("array", expected=str(shape), actual=str(array.shape))
    return np.ascontiguousarray(array, np.float32)


def _flushed(array: Floats) -> Floats:
    return np.where(np.abs(array) < _FLUSH_BELOW, np.float32(0), array)


def _aligned(length: int, *, clear: bool = False) -> NDArray[np.uint8]:
    """Return bytes that begin at a multiple of 64, so that no vector straddles two cache lines."""
    raw = (np.zeros if clear else np.empty)(length + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + length]


def _padded(array: Floats) -> Floats:
    """Return (m, n) or (n,) with n padded to whole blocks; a scalar as one block of copies."""
    if array.ndim == 0:
        padded = _aligned(64).view(np.float32)
        padded[:] = array
        return padded
    shape = (*array.shape[:-1], width_bytes(array.shape[-1]) // 4)
    padded = _aligned(4 * int(np.prod(shape)), clear=True).view(np.float32).reshape(shape)
    padded[..., : array.shape[-1]] = array
    return padded


def _unpadded(array: Floats, shape: tuple[int, ...]) -> Floats:
    if shape == ():
        return np.array(array[0], np.float32)
    return np.ascontiguousarray(array[..., : shape[-1]])


def _group(packed: Packed, stage: Products) -> Floats:
    """Return the panels of a stage's matrices, packing them on first use."""
    names = tuple(node.sources[0].name for node in stage.nodes)
    key = ("t" if stage.transposed else "n", *names)
    found = packed.groups.get(key)
    if found is None:
        matrices = [packed.weights[name] for name in names]
        found = _panels([matrix.T if stage.transposed else matrix for matrix in matrices])
        packed.groups[key] = found
    return found


def _panels(matrices: Sequence[Floats]) -> Floats:
    """Return (m, n) matrices as k-major panels of sixteen rows each, one after the other."""
    blocks = []
    for matrix in matrices:
        rows, length = matrix.shape
        panels = (rows + 15) // 16
        block = np.zeros((panels * 16, length), np.float32)
        block[:rows] = matrix
        blocks.append(block.reshape(panels, 16, length).transpose(0, 2, 1).ravel())
    flat = np.concatenate(blocks)
    packed = _aligned(flat.nbytes).view(np.float32)
    packed[:] = flat
    return packed
