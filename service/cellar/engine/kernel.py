"""A compiled cell: the calls that run its kernels.

A call copies the kernel's descriptor, fills in what is its own, and runs the kernel once. Kernels hold no state, so
several threads may run one cell. Nothing is written to the caller's arrays.
"""

import functools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine.cache import KernelCache
from cellar.engine.cell import Cell
from cellar.engine.codegen import KernelText, backward_text, forward_text
from cellar.engine.graph import Node
from cellar.engine.layout import HEAD, SlotKind, row_bytes
from cellar.engine.packing import Floats, Packed, address, aligned, pack, padded, unpadded
from cellar.engine.schedule import tape as taped_nodes
from cellar.errors import ShapeMismatch, StartupError

Ints = NDArray[np.int32]

CHUNK_ROWS = 1024
"""Rows (steps times batch) that one chunk of a forward pass keeps in scratch memory: some MB at hidden 256."""

_PROBE = np.array([2.0**-149, 2.0**-100, 2.0**-30], np.float32)


@dataclass(frozen=True, slots=True)
class Tape:
    """What a forward pass left behind."""

    steps: int
    rows: int
    lengths: Ints
    ragged: bool
    places: NDArray[np.int64]
    """(n, 2): address and row stride of every taped value."""
    arena: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Forward:
    """`outputs` (T, B, out), the new `state` (B, S), and for each row its first bad step (-1: none) and its kind.

    Kind 1: a state would not be finite; kind 2: an output. `tape` is what `backward` needs, if it was asked for.
    """

    outputs: Floats
    state: Floats
    bad_step: Ints
    bad_kind: Ints
    tape: Tape | None


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

    def _training_kernels(self) -> "tuple[_Kernel, _Kernel]":
        with self._lock:
            if self._training is None:
                texts = _training_texts(self.cell)
                self._cache.load([text.text for text in texts])
                forward, backward = (_Kernel(self.cell, self._cache, text) for text in texts)
                self._training = (forward, backward)
            return self._training

    def pack(self, weights: Mapping[str, Floats]) -> Packed:
        """Return the weights packed. Raise ShapeMismatch for a parameter that is missing or has another shape."""
        return pack(self.cell, weights)

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
        cell = self.cell
        steps, rows = inputs[0].shape[:2]
        kernel = self._training_kernels()[0] if save else self._infer
        chunk = steps if save else max(1, min(steps, CHUNK_ROWS // max(1, rows)))
        call = _Call(kernel, packed, steps, rows, chunk, lengths)
        for index, (array, size) in enumerate(zip(inputs, cell.in_sizes, strict=True)):
            call.bind("staged", index, _checked(array, (steps, rows, size)))
        call.bind("carry_in", 0, _checked(state, (rows, cell.state_size)))
        outputs = call.bind("result", 0, np.empty((steps, rows, cell.out_size), np.float32))
        following = call.bind("carry_out", 0, np.empty((rows, cell.state_size), np.float32))
        call.run()
        return Forward(outputs, following, call.bad_step, call.bad_kind, call.tape() if save else None)

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
        steps, rows = tape.steps, tape.rows
        lengths = tape.lengths if tape.ragged else None
        call = _Call(self._training_kernels()[1], packed, steps, rows, steps, lengths)
        call.point("tape", tape.places[:, 0])
        call.point("tape_row", tape.places[:, 1])
        call.bind("staged", 0, _checked(d_outputs, (steps, rows, cell.out_size)))
        after = np.zeros((rows, cell.state_size), np.float32) if d_state is None else d_state
        call.bind("carry_in", 0, _checked(after, (rows, cell.state_size)))
        d_inputs = tuple(
            call.bind("result", index, np.empty((steps, rows, size), np.float32))
            for index, size in enumerate(cell.in_sizes)
        )
        before = call.bind("carry_out", 0, np.empty((rows, cell.state_size), np.float32))
        start = into or {param.name: np.zeros(param.shape, np.float32) for param in cell.params}
        sums = {param.name: call.bind("grad", param.name, padded(start[param.name])) for param in cell.params}
        call.bind("sums", 0, aligned(16 * 64).view(np.float32))
        call.run()
        return Backward(d_inputs, before, {p.name: unpadded(sums[p.name], p.shape) for p in cell.params})


def compile_cell(cell: Cell, cache: KernelCache) -> CompiledCell:
    """Return the cell with its kernel loaded, compiling it if nobody has yet. Raise CompileFailed."""
    return CompiledCell(cell, cache)


def compile_cells(cells: Sequence[Cell], cache: KernelCache, *, training: bool = False) -> list[CompiledCell]:
    """Return several cells compiled at once, which is faster than one after the other. Raise CompileFailed."""
    cache.load(kernel_texts(cells, training=training))
    return [CompiledCell(cell, cache) for cell in cells]


def kernel_texts(cells: Sequence[Cell], *, training: bool = False) -> list[str]:
    """Return the texts of all kernels of these cells; with `training`, of those that training needs besides."""
    texts = [forward_text(cell, save=False).text for cell in cells]
    if training:
        texts += [text.text for cell in cells for text in _training_texts(cell)]
    return list(dict.fromkeys(texts))


def _training_texts(cell: Cell) -> tuple[KernelText, KernelText]:
    return forward_text(cell, save=True), backward_text(cell)


class _Kernel:
    """A loaded kernel, its layout, and where in its descriptor each kind of slot stands."""

    def __init__(self, cell: Cell, cache: KernelCache, text: KernelText) -> None:
        self.cell = cell
        self.layout = text.layout
        self.run = cache.load([text.text])[0]
        self.at: dict[tuple[SlotKind, int | str], int] = {
            (slot.kind, slot.index): len(HEAD) + number for number, slot in enumerate(self.layout.slots)
        }
        self.buffers = np.array([self.at["buffer", i] for i in range(len(self.layout.buffers))], np.int64)
        self._offsets: dict[tuple[int, int], tuple[NDArray[np.int64], int]] = {}

    @functools.cached_property
    def taped(self) -> tuple[Node, ...]:
        """What a forward pass leaves for the adjoint, in order."""
        return taped_nodes(self.cell)

    def descriptor(self, packed: Packed) -> NDArray[np.int64]:
        """Return a new descriptor with the sizes and the weights filled in."""
        found = packed.descriptors.get(self)
        if found is None:
            found = packed.descriptors.setdefault(self, self._filled(packed))
        return found.copy()

    def _filled(self, packed: Packed) -> NDArray[np.int64]:
        descriptor = np.zeros(len(HEAD) + len(self.layout.slots), np.int64)
        for (kind, index), position in self.at.items():
            if kind == "size":
                descriptor[position] = self.cell.sizes[str(index)]
            elif kind == "vector":
                descriptor[position] = address(packed.vectors[str(index)])
            elif kind == "group":
                descriptor[position] = address(packed.group(self.layout.groups[int(index)]))
        descriptor[HEAD.index("probe")] = address(_PROBE)
        return descriptor

    def offsets(self, rows: int, chunk: int) -> tuple[NDArray[np.int64], int]:
        """Return where each buffer begins in the arena, and the arena's length in bytes."""
        found = self._offsets.get((rows, chunk))
        if found is None:
            spans = {"chunk": chunk * rows, "step": rows, "history": (chunk + 1) * rows}
            lengths = [spans[b.span] * row_bytes(b.widths, self.cell.sizes) for b in self.layout.buffers]
            edges = np.cumsum([0, *lengths]).astype(np.int64)
            found = (edges[:-1], int(edges[-1]))
            if len(self._offsets) < _OFFSETS_KEPT:
                self._offsets[rows, chunk] = found
        return found


_OFFSETS_KEPT = 256


class _Call:
    """One run of a kernel: its descriptor, and the arrays that must live while it runs."""

    def __init__(
        self, kernel: _Kernel, packed: Packed, steps: int, rows: int, chunk: int, lengths: Ints | None
    ) -> None:
        self.kernel = kernel
        self.steps, self.rows, self.ragged = steps, rows, lengths is not None
        # Kernels index their scratch memory by lengths, unchecked.
        given = np.full(rows, steps, np.int32) if lengths is None else np.clip(lengths, 0, steps)
        self.lengths: Ints = np.ascontiguousarray(given, np.int32)
        if self.lengths.shape != (rows,):
            raise ShapeMismatch("lengths", expected=f"({rows},)", actual=str(self.lengths.shape))
        self.bad_step: Ints = np.full(rows, -1, np.int32)
        self.bad_kind: Ints = np.zeros(rows, np.int32)
        offsets, length = kernel.offsets(rows, chunk)
        # Rows past their length are never written, and products read them: zeros keep them harmless.
        self.arena = aligned(length, clear=self.ragged)
        self.descriptor = kernel.descriptor(packed)
        self.descriptor[:3] = steps, rows, chunk
        self.descriptor[3:6] = address(self.lengths), address(self.bad_step), address(self.bad_kind)
        self.descriptor[kernel.buffers] = offsets + address(self.arena)
        self._alive: list[Floats] = []

    def bind(self, kind: SlotKind, index: int | str, array: Floats) -> Floats:
        """Bind a slot to an array, which is returned; a slot that the kernel does not have is no error."""
        position = self.kernel.at.get((kind, index))
        if position is not None:
            self.descriptor[position] = address(array)
            self._alive.append(array)
        return array

    def point(self, kind: SlotKind, numbers: NDArray[np.int64]) -> None:
        """Fill the slots of a kind with numbers."""
        for index, number in enumerate(numbers):
            position = self.kernel.at.get((kind, index))
            if position is not None:
                self.descriptor[position] = number

    def run(self) -> None:
        """Run the kernel. Raise StartupError in a thread that does not compute with subnormal numbers."""
        if self.kernel.run(address(self.descriptor)) != 0:
            raise StartupError("this thread flushes subnormal numbers (FTZ or DAZ), which changes results")

    def tape(self) -> Tape:
        """Return where the taped values stand, after a run that kept them."""
        places = np.array([self._place(node) for node in self.kernel.taped], np.int64).reshape(-1, 2)
        return Tape(self.steps, self.rows, self.lengths, self.ragged, places, self.arena)

    def _place(self, node: Node) -> tuple[int, int]:
        sizes, layout = self.kernel.cell.sizes, self.kernel.layout
        place = layout.places[node]
        base = int(self.descriptor[self.kernel.at["buffer", place.buffer]])
        return base + row_bytes(place.before, sizes), row_bytes(layout.buffers[place.buffer].widths, sizes)


def _checked(array: Floats, shape: tuple[int, ...]) -> Floats:
    if array.shape != shape:
        raise ShapeMismatch("array", expected=str(shape), actual=str(array.shape))
    return np.ascontiguousarray(array, np.float32)
