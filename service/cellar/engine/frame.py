"""Frames: the descriptors of all kernels of a network in one block of words, and the scratch memory that they share.

A *signal* is a tuple of node numbers whose outputs stand side by side in memory; (-1,) is the network's input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.engine.arena import ARENAS, Arena
from cellar.engine.arguments import BOOL, FLOAT32, INT32
from cellar.engine.call import Ints, Words
from cellar.engine.kernel import CompiledCell
from cellar.engine.layout import AT, SlotKind, ahead_stages, row_bytes
from cellar.engine.linking import numpy_functions, python_function
from cellar.engine.packing import Floats, Packed, address, aligned
from cellar.engine.words import Patch, Word

Signal = tuple[int, ...]
Bytes = NDArray[np.uint8]

INPUT: Signal = (-1,)

CHUNK_BYTES = 256 * 1024
"""What a kernel computes for all steps of a chunk at once: the time loop shall find it in the second-level cache."""

LEAST_CAPACITY, MOST_CAPACITY = 64, 1024
"""Rows times steps of a chunk: enough to fill every tile, few enough for the caches. More only where rows are more."""


LARGE_BYTES = 16 * 1024 * 1024
"""Scratch memory that is no program's own from here on: the process has one store of it, for calls of all programs."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A kernel with its weights, and where its inputs and its state stand."""

    kernel: CompiledCell
    packed: Packed
    reads: tuple[Signal, ...]
    """A signal for each input of the cell."""
    offset: int | None
    """Where its state begins in a row of the network's; None: at every call it begins with `initial`."""
    initial: Floats
    """(S,)"""
    discarded: Floats
    """(S,), where a state goes that nobody reads."""
    reverse: bool = False
    """Each row is read from its end to its start."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Memory of one call at a time."""

    words: Words
    """The head (`Word`), the tables that it points to, and the descriptors."""
    arena: Bytes | Arena
    lengths: Ints
    bad_step: Ints
    bad_kind: Ints
    size: int
    """Bytes of all of it."""


class Run(NamedTuple):
    """What a network answers to T steps of B rows."""

    outputs: Floats
    """(T, B, out); zeros at and past a row's length."""
    state: Floats
    """(B, S) after the last step of each row."""
    bad_step: Ints | None = None
    """(B,) the first step that made a state or an output NaN or infinite, -1 if none did; None if no row has one."""
    bad_kind: Ints | None = None
    """(B,) 1 a state, 2 an output."""
    saved: object = None
    """What whoever wants gradients of the run keeps with it."""


class _Home(NamedTuple):
    """Where a node's output stands: an array between layers (-1: the network's output), and its column, in bytes."""

    array: int
    column: int


class FramePlan:
    """What all frames of a network have in common."""

    def __init__(self, nodes: tuple[Node, ...], output: Signal, in_size: int, state_size: int) -> None:
        self.nodes = nodes
        self.in_size, self.state_size = in_size, state_size
        self.out_size = self._width(output)
        self.whole = any(node.reverse for node in nodes)
        """Whether a call must be one chunk: what is read from its end must be there to the end."""
        self._widths: list[int] = []
        """Bytes of a row of each array between layers."""
        self._homes: dict[int, _Home] = {}
        self._find_homes(output)
        self._usual = self._usual_capacity()
        self.flops = sum(node.kernel.cell.flops for node in nodes)
        """Of one row and step."""
        self.ahead_flops = 0 if self.whole else sum(_ahead_flops(node) for node in nodes)
        """Of the products that need nothing but the state."""
        self.stash_bytes = sum(size for node in nodes for _, size in _stashed(node))
        """Bytes for one row of the products that need nothing but the state."""

    def capacity(self, steps: int, rows: int) -> int:
        """Return the capacity of a frame for a call: a power of two of steps times rows."""
        wanted = steps * rows if self.whole else max(rows, min(self._usual, steps * rows))
        return 1 << max(0, wanted - 1).bit_length()

    def frame(self, capacity: int) -> Frame:
        """Return a new frame for chunks of `capacity` rows times steps."""
        return _Builder(self, capacity).frame()

    # --- arrays between layers

    def home(self, signal: Signal) -> _Home:
        """Return where a signal of nodes begins."""
        return self._homes[signal[0]]

    @property
    def widths(self) -> Sequence[int]:
        """Return the bytes of a row of each array between layers."""
        return self._widths

    def _width(self, signal: Signal) -> int:
        return sum(self.in_size if number < 0 else self.nodes[number].kernel.cell.out_size for number in signal)

    def _find_homes(self, output: Signal) -> None:
        """Give every node's output a place, so that the members of each signal stand side by side."""
        read = {signal for node in self.nodes for signal in node.reads if signal != INPUT}
        self._settle(output, -1)
        alone = [(number,) for number in range(len(self.nodes))]
        for signal in [*sorted(read, key=lambda signal: (-len(signal), signal)), *alone]:
            if not all(number in self._homes for number in signal):
                self._settle(signal, len(self._widths))
                self._widths.append(4 * self._width(signal))
        for signal in (output, *read):
            column = self._homes[signal[0]].column
            for number in signal:
                if self._homes[number] != _Home(self._homes[signal[0]].array, column):
                    raise ValueError(f"the outputs of nodes {signal} cannot stand side by side")
                column += 4 * self._width((number,))

    def _settle(self, signal: Signal, array: int) -> None:
        column = 0
        for number in signal:
            self._homes[number] = _Home(array, column)
            column += 4 * self._width((number,))

    def _usual_capacity(self) -> int:
        widest = max(_chunk_bytes(node) for node in self.nodes)
        fitting = CHUNK_BYTES // widest
        return max(LEAST_CAPACITY, min(MOST_CAPACITY, 1 << max(0, fitting).bit_length() - 1 if fitting else 0))


def _chunk_bytes(node: Node) -> int:
    """Return the bytes that a kernel computes ahead of its time loop for a row and step."""
    layout, sizes = node.kernel.kernel.layout, node.kernel.cell.sizes
    return max(64, sum(row_bytes(b.widths, sizes) for b in layout.buffers if b.span == "call"))


def _stashed(node: Node) -> list[tuple[int, int]]:
    """Return buffer number and bytes of a row of each product that needs nothing but the state."""
    layout, sizes = node.kernel.kernel.layout, node.kernel.cell.sizes
    buffers = [layout.places[stage.nodes[0]].buffer for stage in ahead_stages(layout.plan)]
    return [(number, row_bytes(layout.buffers[number].widths, sizes)) for number in buffers]


def _ahead_flops(node: Node) -> int:
    layout, cell = node.kernel.kernel.layout, node.kernel.cell
    products = [product for stage in ahead_stages(layout.plan) for product in stage.nodes]
    return sum(2 * math.prod(cell.sizes[name] for name in product.sources[0].shape) for product in products)


class _Builder:
    """Builds one frame: lays out its words and its scratch memory, and writes the addresses."""

    def __init__(self, plan: FramePlan, capacity: int) -> None:
        self.plan = plan
        self.capacity = capacity
        self.patches: list[tuple[int, Patch, int]] = []
        """Position of a word, what it becomes, and a number."""
        self.stashed: list[tuple[int, int]] = []
        self.end = 0
        """Bytes of scratch memory that are given away."""

    def frame(self) -> Frame:
        """Return the frame."""
        plan = self.plan
        descriptors = [node.kernel.kernel.descriptor(node.packed) for node in plan.nodes]
        begins = np.cumsum([int(Word.COUNT), *(len(d) for d in descriptors)])
        arrays = [self._take(self.capacity * width) for width in plan.widths]
        kept = [self._place_kept(node) for node in plan.nodes]
        shared = self.end
        lengths = [self._place_shared(node, d, shared) for node, d in zip(plan.nodes, descriptors, strict=True)]
        length = max([shared, *lengths])
        # What earlier calls have left there is harmless, as in a frame that is used again.
        arena = aligned(length, clear=True) if length <= LARGE_BYTES else ARENAS.take(length, clear=False)
        base = arena.address if isinstance(arena, Arena) else address(arena)
        for node, descriptor, buffers, begin in zip(plan.nodes, descriptors, kept, begins, strict=False):
            at = node.kernel.kernel.at
            descriptor[[at["buffer", i] for i in range(len(node.kernel.kernel.layout.buffers))]] += base
            for number, place in buffers.items():
                descriptor[at["buffer", number]] = base + place
            self.stashed += [(base + buffers[number], size) for number, size in _stashed(node)]
            self._bind(node, descriptor, int(begin), [base + place for place in arrays])
        return self._assembled(descriptors, begins, arena, length)

    def _take(self, size: int) -> int:
        begin = self.end
        self.end += (size + 63) // 64 * 64 + 192
        return begin

    def _place_kept(self, node: Node) -> dict[int, int]:
        """Give the products that may be computed ahead memory of their own: it outlives the other layers' runs."""
        return {number: self._take(self.capacity * size) for number, size in _stashed(node)}

    def _place_shared(self, node: Node, descriptor: Words, begin: int) -> int:
        """Place the scratch memory of a kernel where that of all others is too; return where it ends."""
        buffers = node.kernel.kernel.buffers(self.capacity, self.capacity, 2 * self.capacity)
        descriptor[buffers.positions] = buffers.offsets + begin
        return begin + buffers.length

    def _bind(self, node: Node, descriptor: Words, begin: int, arrays: list[int]) -> None:
        """Write the addresses of a kernel's arrays, and note those that each call changes."""
        at = node.kernel.kernel.at
        number = self.plan.nodes.index(node)
        descriptor[AT["reverse"]] = int(node.reverse)
        descriptor[AT["wants"]] = 1
        descriptor[AT["layer"]] = number

        def word(kind: SlotKind, index: int, value: int, patch: Patch | None = None, argument: int = 0) -> None:
            position = at.get((kind, index))
            if position is None:
                return
            descriptor[position] = value
            if patch is not None:
                self.patches.append((begin + position, patch, argument))

        def dense(kind: SlotKind, row: SlotKind, time: SlotKind, index: int, home: _Home) -> None:
            if home.array < 0:
                word(kind, index, 0, Patch.OUTPUTS, home.column)
                word(row, index, 4 * self.plan.out_size)
                word(time, index, 0, Patch.OUTPUTS_TIME)
            else:
                width = self.plan.widths[home.array]
                word(kind, index, arrays[home.array] + home.column)
                word(row, index, width)
                word(time, index, 0, Patch.TIME, width)

        for index, signal in enumerate(node.reads):
            if signal == INPUT:
                word("staged", index, 0, Patch.INPUTS)
                word("staged_row", index, 4 * self.plan.in_size)
                word("staged_time", index, 0, Patch.INPUTS_TIME)
            else:
                dense("staged", "staged_row", "staged_time", index, self.plan.home(signal))
        dense("result", "result_row", "result_time", 0, self.plan.home((number,)))
        if node.offset is None:
            word("carry_in", 0, address(node.initial))
            word("carry_out", 0, address(node.discarded))
        else:
            if ("carry_in", 0) in at:
                self.patches.append((begin + AT["sources"], Patch.SOURCES, 0))
                descriptor[AT["initial"]], descriptor[AT["offset"]] = address(node.initial), 4 * node.offset
            word("carry_in", 0, 0, Patch.STATE, 4 * node.offset)
            word("carry_out", 0, 0, Patch.AFTER, 4 * node.offset)
            word("carry_in_row", 0, 4 * self.plan.state_size)
            word("carry_out_row", 0, 4 * self.plan.state_size)

    def _assembled(self, descriptors: list[Words], begins: Words, arena: Bytes | Arena, length: int) -> Frame:
        """Return the frame: the head, the descriptors, and the tables that the head points to."""
        kernels = [node.kernel.kernel.code.address for node in self.plan.nodes]
        layers, patches, stashed = int(begins[-1]), int(begins[-1]) + 2 * len(kernels), 0
        stashed = patches + 3 * len(self.patches)
        table = stashed + 2 * len(self.stashed)
        words: Words = np.zeros(table + self.capacity, np.int64)
        base = address(words)
        for begin, descriptor in zip(begins, descriptors, strict=False):
            words[begin : begin + len(descriptor)] = descriptor
        words[layers:patches].reshape(-1, 2)[:] = [*zip(kernels, base + 8 * begins[:-1], strict=True)]
        if self.patches:
            words[patches:stashed].reshape(-1, 3)[:] = [(base + 8 * at, what, n) for at, what, n in self.patches]
        if self.stashed:
            words[stashed:table].reshape(-1, 2)[:] = self.stashed
        faults, lengths = np.zeros((2, self.capacity), np.int32), np.zeros(self.capacity, np.int32)
        new_array, array_type = numpy_functions()
        for begin in begins[:-1]:
            words[begin + AT["bad_step"]], words[begin + AT["bad_kind"]] = address(faults[0]), address(faults[1])
        head = {
            Word.CAPACITY: self.capacity,
            Word.LENGTH_TABLE: address(lengths),
            Word.ROW_TABLE: base + 8 * table,
            Word.STASH_SIZE: self.plan.stash_bytes // 4,
            Word.BAD_STEP: address(faults[0]),
            Word.BAD_KIND: address(faults[1]),
            Word.IN_SIZE: self.plan.in_size,
            Word.OUT_SIZE: self.plan.out_size,
            Word.STATE_SIZE: self.plan.state_size,
            Word.FLOPS: self.plan.flops,
            Word.LAYERS: base + 8 * layers,
            Word.LAYER_COUNT: len(kernels),
            Word.PATCHES: base + 8 * patches,
            Word.PATCH_COUNT: len(self.patches),
            Word.STASHED: base + 8 * stashed,
            Word.STASHED_COUNT: len(self.stashed),
            Word.NONE: id(None),
            Word.FLOAT32: id(FLOAT32),
            Word.INT32: id(INT32),
            Word.BOOL: id(BOOL),
            Word.NEW_ARRAY: new_array,
            Word.NDARRAY: array_type,
            Word.TUPLE: id(tuple),
            Word.BYTES: id(bytes),
            Word.RUN_TYPE: id(Run),
            Word.NEW_OBJECT: python_function("PyType_GenericAlloc"),
            Word.SET_ITEM: python_function("PyTuple_SetItem"),
            Word.INCREF: python_function("Py_IncRef"),
            Word.DECREF: python_function("Py_DecRef"),
            Word.SAVE_THREAD: python_function("PyEval_SaveThread"),
            Word.RESTORE_THREAD: python_function("PyEval_RestoreThread"),
            Word.FROM_LONG: python_function("PyLong_FromLong"),
        }
        words[list(head)] = list(head.values())
        size = words.nbytes + length + faults.nbytes + lengths.nbytes
        return Frame(words, arena, lengths, faults[0], faults[1], size)
