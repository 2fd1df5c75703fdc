"""Prepares and runs calls of one kernel: its descriptor with sizes and addresses, scratch memory, and arguments."""

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from cellar.engine.backend.kernel_cache import KernelCache
from cellar.engine.cell import Cell, Param
from cellar.engine.codegen.kernel_source import KernelText
from cellar.engine.execution.arrays import Floats, Ints, Words, address, aligned, padded_shape
from cellar.engine.execution.packed_weights import PackedWeights
from cellar.engine.execution.scratch_pool import ARENAS, Workspace
from cellar.engine.ir.graph import Node
from cellar.engine.native_calls.command_list_call import FLUSHES
from cellar.engine.passes.memory_plan import (
    CONTINUED,
    DESCRIPTOR_HEAD,
    GRADIENT_SLOTS,
    HEAD_ADDRESSES,
    HEAD_INDEX,
    PARAM_GRADIENTS,
    SKEW,
    SLOT_ADDRESSES,
    UNFINISHED,
    SlotKind,
    Span,
    row_bytes,
    scratch_lengths,
)
from cellar.engine.passes.schedule import tape as taped_nodes
from cellar.errors import ShapeMismatch, StartupError

_PROBE = np.array([2.0**-149, 2.0**-100, 2.0**-30], np.float32)


class CellKernel:
    """A loaded kernel, its memory plan, and the position of each slot in its descriptor.

    It references the machine code whose addresses are in descriptors and frames; every holder of one of those
    references the kernel.
    """

    def __init__(self, cell: Cell, cache: KernelCache, text: KernelText) -> None:
        self.cell = cell
        self.memory_plan = text.memory_plan
        self.code = cache.load([text.text])[0]
        self.products = cache.products()
        self.slot_index = text.memory_plan.numbers
        self._buffers: dict[tuple[int, int, int], Buffers] = {}

    @functools.cached_property
    def taped(self) -> tuple[Node, ...]:
        """The values that a forward pass saves for the adjoint, in order."""
        return taped_nodes(self.cell.step, self.cell.adjoint)

    def descriptor(self, packed: PackedWeights) -> Words:
        """Return a new descriptor with the sizes and the weights filled in."""
        found = packed.descriptors.get(self)
        if found is None:
            found = packed.descriptors.setdefault(self, self._filled(packed))
        return found.copy()

    def _filled(self, packed: PackedWeights) -> Words:
        descriptor = self.unbound_descriptor()
        descriptor[self.weight_places] = self.weight_addresses(packed)
        return descriptor

    def unbound_descriptor(self) -> Words:
        """Return a new descriptor with the sizes filled in, and without weights."""
        descriptor = np.zeros(len(DESCRIPTOR_HEAD) + len(self.slot_index), np.int64)
        for (kind, index), position in self.slot_index.items():
            if kind == "size":
                descriptor[position] = self.cell.sizes[str(index)]
        descriptor[HEAD_INDEX["subnormal_probe"]] = address(_PROBE)
        descriptor[HEAD_INDEX["product_float32"]] = self.products.float32.address
        return descriptor

    @functools.cached_property
    def weight_places(self) -> list[int]:
        """The positions in a descriptor of the addresses that depend on the weights."""
        slots = [position for (kind, _), position in self.slot_index.items() if kind in ("vector", "group")]
        return [HEAD_INDEX["product"], *slots]

    def weight_addresses(self, packed: PackedWeights) -> list[int]:
        """Return the addresses for `weight_places`."""
        found = [(self.products.bfloat16 if packed.bfloat16 else self.products.float32).address]
        for kind, index in self.slot_index:
            if kind == "vector":
                found.append(address(packed.vectors[str(index)]))
            elif kind == "group":
                found.append(address(packed.group(self.memory_plan.groups[int(index)])))
        return found

    def check_bound(self, descriptor: Words, later: Collection[int] = ()) -> None:
        """Raise ValueError for an address that the kernel would use and that is 0, which would crash the process.

        Positions in `later` are filled in before each run.
        """
        positions = self._addresses[bool(descriptor[HEAD_INDEX["grad_mask"]] & PARAM_GRADIENTS)]
        if descriptor[positions].all():
            return
        missing = sorted({position for position in positions.tolist() if not descriptor[position]} - {*later})
        if missing:
            names: dict[int, object] = {place: name for name, place in HEAD_INDEX.items()}
            names |= {place: " ".join(map(str, slot)) for slot, place in self.slot_index.items()}
            raise ValueError(f"a kernel has no address for: {', '.join(str(names[place]) for place in missing)}")

    @functools.cached_property
    def _addresses(self) -> tuple[Words, Words]:
        """Return the positions of all addresses: without those of the gradients of parameters, and with them."""
        head = [HEAD_INDEX[name] for name in HEAD_ADDRESSES]
        every = [(kind, place) for (kind, _), place in self.slot_index.items() if kind in SLOT_ADDRESSES]
        without = [place for kind, place in every if kind not in GRADIENT_SLOTS]
        return np.array([*head, *without], np.int64), np.array([*head, *(place for _, place in every)], np.int64)

    def buffers(self, call: int, step: int, history: int) -> "Buffers":
        """Return the layout of scratch memory for these numbers of rows of a call, of a step and of a history."""
        found = self._buffers.get((call, step, history))
        if found is None:
            found = self._arranged({"call": call, "step": step, "history": history})
            if len(self._buffers) < _BUFFERS_KEPT:
                self._buffers[call, step, history] = found
        return found

    def _arranged(self, spans: Mapping[Span, int]) -> "Buffers":
        layout = self.memory_plan
        lengths = scratch_lengths(layout, self.cell.sizes, spans)
        slots: list[tuple[SlotKind, int]] = [("buffer", index) for index in range(len(layout.buffers))]
        slots += [("pairs", index) for index in range(len(layout.pairs))]
        edges = np.cumsum([0, *(length + SKEW for length in lengths)]).astype(np.int64)
        return Buffers(np.array([self.slot_index[slot] for slot in slots], np.int64), edges[:-1], int(edges[-1]))


class Buffers(NamedTuple):
    """Layout of scratch memory: positions in the descriptor, the offsets to write there, and the size in bytes."""

    positions: Words
    offsets: Words
    length: int


_BUFFERS_KEPT = 256


class Invocation:
    """One run at a time of a kernel over `steps` steps of `rows` rows: its descriptor and its scratch memory."""

    def __init__(
        self,
        kernel: CellKernel,
        packed: PackedWeights,
        steps: int,
        rows: int,
        *,
        ragged: bool,
        workspace: Workspace | None = None,
    ) -> None:
        """Take the scratch memory from a workspace, or for this invocation alone."""
        self.kernel = kernel
        self.steps, self.rows = steps, rows
        self.lengths: Ints | None = np.zeros(rows, np.int32) if ragged else None
        self.faults: Ints = np.zeros((2, rows), np.int32)
        self.descriptor = kernel.descriptor(packed)
        buffers = kernel.buffers(steps * rows, rows, (steps + 1) * rows)
        # Rows past their length are never written, and products read them: zeros keep them harmless.
        self.arena = ARENAS.take(buffers.length, clear=ragged) if workspace is None else workspace.take(buffers.length)
        self.descriptor[buffers.positions] = buffers.offsets + self.arena.address
        self.descriptor[[HEAD_INDEX["steps"], HEAD_INDEX["rows"]]] = steps, rows
        self.descriptor[[HEAD_INDEX["bad_step"], HEAD_INDEX["bad_kind"]]] = (
            address(self.faults[0]),
            address(self.faults[1]),
        )
        if self.lengths is not None:
            self.descriptor[HEAD_INDEX["lengths"]] = address(self.lengths)
        self._alive: list[object] = [packed]
        """The objects whose memory the kernel reads and writes."""
        self._cleared = ragged and workspace is None

    @functools.cached_property
    def sums(self) -> "GradientBuffers":
        """The buffers in which a backward invocation sums the gradients of parameters."""
        return GradientBuffers(self.kernel.cell.params)

    def continues(self, *, continued: bool, unfinished: bool) -> None:
        """Say of a backward invocation whether it continues the sums of another one, and whether one follows."""
        word = int(self.descriptor[HEAD_INDEX["grad_mask"]]) & ~(CONTINUED | UNFINISHED)
        self.descriptor[HEAD_INDEX["grad_mask"]] = word | CONTINUED * continued | UNFINISHED * unfinished

    def bind_sums(self) -> None:
        """Bind the slots of the gradients of parameters to `sums`."""
        for name, array in self.sums.arrays.items():
            self.set_slot("grad", name, address(array))
        for name, lanes in self.sums.lanes.items():
            self.set_slot("sums", name, address(lanes))

    def read_tape(self, forward: "Invocation") -> None:
        """Make a backward invocation read the values that a forward one has saved."""
        for index, (place, stride) in enumerate(forward.places):
            self.set_slot("tape", index, place)
            self.set_slot("tape_row", index, stride)
        self._alive.append(forward)

    def begin(self, lengths: Ints | None) -> None:
        """Make the call ready for another run."""
        self.faults[0], self.faults[1] = -1, 0
        if self.lengths is not None:
            assert lengths is not None
            self.lengths[:] = lengths
            if not self._cleared:
                self.arena.memory[:] = 0
            self._cleared = False

    def bind_dense(self, kind: SlotKind, row: SlotKind, time: SlotKind, index: int, array: Floats) -> None:
        """Bind a slot to a dense array (T, B, size)."""
        self.set_slot(kind, index, address(array))
        self.set_slot(row, index, array.strides[1])
        self.set_slot(time, index, array.strides[0])
        self._alive.append(array)

    def bind_state(self, kind: SlotKind, row: SlotKind, array: Floats) -> None:
        """Bind a slot to a dense array (B, S)."""
        self.set_slot(kind, 0, address(array))
        self.set_slot(row, 0, array.strides[0])
        self._alive.append(array)

    def set_slot(self, kind: SlotKind, index: int | str, number: int) -> None:
        """Fill a slot with a number, if the kernel has it."""
        position = self.kernel.slot_index.get((kind, index))
        if position is not None:
            self.descriptor[position] = number

    def check_bound(self) -> None:
        """Raise ValueError if an array is missing that the kernel would read or write."""
        self.kernel.check_bound(self.descriptor)

    def run(self) -> None:
        """Run the kernel. Raise StartupError in a thread that does not compute with subnormal numbers."""
        self.check_bound()
        check_status(self.kernel.code(address(self.descriptor)))

    @functools.cached_property
    def places(self) -> Words:
        """Address and row stride of every value that a forward pass saves for the adjoint, (n, 2)."""
        return np.array([self._place(node) for node in self.kernel.taped], np.int64).reshape(-1, 2)

    def _place(self, node: Node) -> tuple[int, int]:
        sizes, layout = self.kernel.cell.sizes, self.kernel.memory_plan
        place = layout.places[node]
        base = int(self.descriptor[self.kernel.slot_index["buffer", place.buffer]])
        return base + row_bytes(place.before, sizes), row_bytes(layout.buffers[place.buffer].widths, sizes)


class GradientBuffers:
    """The gradients of all parameters in one block of memory, padded as kernels write them."""

    def __init__(self, params: Sequence[Param]) -> None:
        self._params = params
        shapes = {param.name: padded_shape(param.shape) for param in params}
        edges = [0, *accumulate(math.prod(shape) for shape in shapes.values())]
        self.memory: Floats = aligned(4 * edges[-1]).view(np.float32)
        """All of it, a multiple of sixteen floats."""
        self.arrays = {
            name: self.memory[begin:end].reshape(shape)
            for (name, shape), (begin, end) in zip(shapes.items(), pairwise(edges), strict=True)
        }
        self.lanes = {p.name: aligned(64 * math.prod(shapes[p.name])) for p in params if len(p.shape) < 2}
        """For each vector and scalar sixteen partial sums, which a kernel adds up in the end."""

    @property
    def trimmed(self) -> dict[str, Floats]:
        """Return views in the parameters' own shapes."""
        return {
            param.name: self.arrays[param.name][..., : param.shape[-1] if param.shape else 1].reshape(param.shape)
            for param in self._params
        }


def check_status(status: int) -> None:
    """Raise StartupError if a kernel found that its thread flushes subnormal numbers."""
    if status == FLUSHES:
        raise StartupError("this thread flushes subnormal numbers (FTZ or DAZ), which changes results")


def clipped(lengths: Ints, steps: int, rows: int) -> Ints:
    """Return lengths within the steps: kernels index their memory by them, unchecked."""
    clipped: Ints = np.ascontiguousarray(np.clip(lengths, 0, steps), np.int32)
    if clipped.shape != (rows,):
        raise ShapeMismatch("lengths", expected=f"({rows},)", actual=str(clipped.shape))
    return clipped
