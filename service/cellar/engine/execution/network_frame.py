"""Builds the frame of a network's call: lays out its words and scratch memory, and writes all addresses."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from cellar.engine.backend.loader import python_function
from cellar.engine.execution.arguments import BOOL, FLOAT32, INT32
from cellar.engine.execution.arrays import Bytes, Words, address, aligned
from cellar.engine.execution.network_plan import (
    INPUT,
    LARGE_BYTES,
    NetworkFrame,
    NetworkPlan,
    OutputPlacement,
    PlanNode,
)
from cellar.engine.execution.scratch_pool import ARENAS, Scratch
from cellar.engine.native_calls.call_header import HeaderField, Patch
from cellar.engine.passes.memory_plan import HEAD_INDEX, SlotKind


def new_frame(plan: NetworkPlan, capacity: int) -> NetworkFrame:
    """Return a new frame for chunks of `capacity` rows times steps."""
    return _FrameBuilder(plan, capacity).frame()


class _Tables(NamedTuple):
    """Positions of the tables behind the descriptors, in words."""

    layers: int
    patches: int
    rows: int


class _FrameBuilder:
    """Builds one frame: lays out its words and its scratch memory, and writes the addresses."""

    def __init__(self, plan: NetworkPlan, capacity: int) -> None:
        self.plan = plan
        self.capacity = capacity
        self.patches: list[tuple[int, Patch, int]] = []
        """Position of a word, its `Patch`, and a number."""
        self.end = 0
        """Bytes of scratch memory that are reserved so far."""

    def frame(self) -> NetworkFrame:
        """Return the frame."""
        plan = self.plan
        descriptors = [node.kernel.kernel.descriptor(node.packed) for node in plan.nodes]
        begins = np.cumsum([int(HeaderField.COUNT), *(len(d) for d in descriptors)])
        arrays = [self._reserve(self.capacity * width) for width in plan.widths]
        shared = self.end
        lengths = [self._place_shared(node, d, shared) for node, d in zip(plan.nodes, descriptors, strict=True)]
        length = max([shared, *lengths])
        # Contents from earlier calls are harmless, as in a frame that is used again.
        arena = aligned(length, clear=True) if length <= LARGE_BYTES else ARENAS.take(length, clear=False)
        base = arena.address if isinstance(arena, Scratch) else address(arena)
        for node, descriptor, begin in zip(plan.nodes, descriptors, begins, strict=False):
            at = node.kernel.kernel.slot_index
            descriptor[[at["buffer", i] for i in range(len(node.kernel.kernel.memory_plan.buffers))]] += base
            self._bind(node, descriptor, int(begin), [base + place for place in arrays])
        return self._assembled(descriptors, begins, arena, length)

    def _reserve(self, size: int) -> int:
        begin = self.end
        self.end += (size + 63) // 64 * 64 + 192
        return begin

    def _place_shared(self, node: PlanNode, descriptor: Words, begin: int) -> int:
        """Place the scratch memory of a kernel, which all kernels share; return where it ends."""
        buffers = node.kernel.kernel.buffers(self.capacity, self.capacity, 2 * self.capacity)
        descriptor[buffers.positions] = buffers.offsets + begin
        return begin + buffers.length

    def _bind(self, node: PlanNode, descriptor: Words, begin: int, arrays: list[int]) -> None:
        """Write the addresses of a kernel's arrays, and note those that each call changes."""
        at = node.kernel.kernel.slot_index
        number = self.plan.nodes.index(node)
        descriptor[HEAD_INDEX["reverse"]] = int(node.reverse)
        descriptor[HEAD_INDEX["grad_mask"]] = 1
        descriptor[HEAD_INDEX["layer"]] = number

        def word(kind: SlotKind, index: int, value: int, patch: Patch | None = None, argument: int = 0) -> None:
            position = at.get((kind, index))
            if position is None:
                return
            descriptor[position] = value
            if patch is not None:
                self.patches.append((begin + position, patch, argument))

        def dense(kind: SlotKind, row: SlotKind, time: SlotKind, index: int, placement: OutputPlacement) -> None:
            if placement.array < 0:
                word(kind, index, 0, Patch.OUTPUTS, placement.column)
                word(row, index, 4 * self.plan.out_size)
                word(time, index, 0, Patch.OUTPUTS_TIME)
            else:
                width = self.plan.widths[placement.array]
                word(kind, index, arrays[placement.array] + placement.column)
                word(row, index, width)
                word(time, index, 0, Patch.TIME, width)

        for index, signal in enumerate(node.reads):
            if signal == INPUT:
                word("input", index, 0, Patch.INPUTS)
                word("input_row", index, 4 * self.plan.in_size)
                word("input_time", index, 0, Patch.INPUTS_TIME)
            else:
                dense("input", "input_row", "input_time", index, self.plan.placement(signal))
        dense("result", "result_row", "result_time", 0, self.plan.placement((number,)))
        if node.offset is None:
            word("carry_in", 0, address(node.initial))
            word("carry_out", 0, address(node.discarded))
        else:
            if ("carry_in", 0) in at:
                self.patches.append((begin + HEAD_INDEX["sources"], Patch.SOURCES, 0))
                descriptor[HEAD_INDEX["initial"]], descriptor[HEAD_INDEX["offset"]] = (
                    address(node.initial),
                    4 * node.offset,
                )
            word("carry_in", 0, 0, Patch.STATE, 4 * node.offset)
            word("carry_out", 0, 0, Patch.AFTER, 4 * node.offset)
            word("carry_in_row", 0, 4 * self.plan.state_size)
            word("carry_out_row", 0, 4 * self.plan.state_size)

    def _assembled(self, descriptors: list[Words], begins: Words, arena: Bytes | Scratch, length: int) -> NetworkFrame:
        """Return the frame: the head, the descriptors, and the tables that the head points to."""
        tables = self._tables(int(begins[-1]))
        words: Words = np.zeros(tables.rows + self.capacity, np.int64)
        faults, lengths = np.zeros((2, self.capacity), np.int32), np.zeros(self.capacity, np.int32)
        bad_step, bad_kind = address(faults[0]), address(faults[1])
        for begin, descriptor in zip(begins, descriptors, strict=False):
            words[begin : begin + len(descriptor)] = descriptor
            words[begin + HEAD_INDEX["bad_step"]], words[begin + HEAD_INDEX["bad_kind"]] = bad_step, bad_kind
        self._check_bound(words, begins)
        self._fill(words, tables, begins)
        head = self._sizes() | self._pointers(address(words), tables) | _surroundings()
        head |= {
            HeaderField.LENGTH_TABLE: address(lengths),
            HeaderField.BAD_STEP: bad_step,
            HeaderField.BAD_KIND: bad_kind,
        }
        words[list(head)] = list(head.values())
        size = words.nbytes + length + faults.nbytes + lengths.nbytes
        return NetworkFrame(words, arena, lengths, faults[0], faults[1], size)

    def _check_bound(self, words: Words, begins: Words) -> None:
        """Raise ValueError for an address in a descriptor that is 0, unless each call writes it."""
        later = [at for at, _, _ in self.patches]
        for node, (begin, end) in zip(self.plan.nodes, pairwise(begins.tolist()), strict=True):
            node.kernel.kernel.check_bound(words[begin:end], [at - begin for at in later])

    def _tables(self, begin: int) -> _Tables:
        patches = begin + 2 * len(self.plan.nodes)
        return _Tables(begin, patches, patches + 3 * len(self.patches))

    def _fill(self, words: Words, tables: _Tables, begins: Words) -> None:
        """Write the tables, except that of rows, which each call writes."""
        base = address(words)
        kernels = [node.kernel.kernel.code.address for node in self.plan.nodes]
        layers = words[tables.layers : tables.patches].reshape(-1, 2)
        layers[:] = [*zip(kernels, base + 8 * begins[:-1], strict=True)]
        if self.patches:
            patches = words[tables.patches : tables.rows].reshape(-1, 3)
            patches[:] = [(base + 8 * at, what, number) for at, what, number in self.patches]

    def _sizes(self) -> dict[HeaderField, int]:
        plan = self.plan
        return {
            HeaderField.CAPACITY: self.capacity,
            HeaderField.IN_SIZE: plan.in_size,
            HeaderField.OUT_SIZE: plan.out_size,
            HeaderField.STATE_SIZE: plan.state_size,
            HeaderField.FLOPS: plan.flops,
        }

    def _pointers(self, base: int, tables: _Tables) -> dict[HeaderField, int]:
        """Return where the tables are, and how much is in them."""
        return {
            HeaderField.LAYERS: base + 8 * tables.layers,
            HeaderField.LAYER_COUNT: len(self.plan.nodes),
            HeaderField.PATCHES: base + 8 * tables.patches,
            HeaderField.PATCH_COUNT: len(self.patches),
            HeaderField.ROW_TABLE: base + 8 * tables.rows,
        }


def _surroundings() -> dict[HeaderField, int]:
    """Return the addresses of objects, types and functions of Python and NumPy that the native call needs."""
    return {
        HeaderField.NONE: id(None),
        HeaderField.FLOAT32: id(FLOAT32),
        HeaderField.INT32: id(INT32),
        HeaderField.BOOL: id(BOOL),
        HeaderField.NDARRAY: id(np.ndarray),
        HeaderField.TUPLE: id(tuple),
        HeaderField.BYTES: id(bytes),
        HeaderField.SAVE_THREAD: python_function("PyEval_SaveThread"),
        HeaderField.RESTORE_THREAD: python_function("PyEval_RestoreThread"),
        HeaderField.FROM_LONG: python_function("PyLong_FromLong"),
    }
