"""Builds the frame of a network's call: the block of memory that the native code reads, with all addresses."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellar.engine.backend.loader import python_function
from cellar.engine.execution.arguments import BOOL, FLOAT32, INT32
from cellar.engine.execution.arrays import Bytes, Ints, Words, address, aligned
from cellar.engine.execution.network_plan import (
    INPUT,
    LARGE_BYTES,
    NetworkFrame,
    NetworkPlan,
    NodeWeights,
    OutputPlacement,
    PlanNode,
)
from cellar.engine.execution.scratch_pool import ARENAS, Scratch
from cellar.engine.native_calls.call_header import HeaderField
from cellar.engine.passes.memory_plan import HEAD_INDEX, SlotKind


class _Patch(NamedTuple):
    """A word of the frame that becomes field * factor + addend before each chunk of steps."""

    position: int
    field: HeaderField
    factor: int
    addend: int


@dataclass(frozen=True, slots=True)
class _LayerBinding:
    """Writes the addresses of one layer's arrays to its descriptor, and notes the words that each call changes."""

    plan: NetworkPlan
    node: PlanNode
    descriptor: Words
    begin: int
    """Position of the descriptor in the frame."""
    patches: list[_Patch]
    discarded: int
    """Address where the final state is written if it is not part of the network's."""

    def bind(self, arrays: list[int]) -> None:
        """Write all addresses; `arrays` are those of the arrays between layers."""
        node, number = self.node, self.plan.nodes.index(self.node)
        self.descriptor[HEAD_INDEX["reverse"]] = int(node.reverse)
        self.descriptor[HEAD_INDEX["grad_mask"]] = 1
        self.descriptor[HEAD_INDEX["layer"]] = number
        for index, signal in enumerate(node.reads):
            if signal == INPUT:
                self.patch("input", index, HeaderField.INPUTS)
                self.word("input_row", index, 4 * self.plan.in_size)
                self.patch("input_time", index, HeaderField.INPUTS_TIME)
            else:
                self.array(("input", "input_row", "input_time"), index, self.plan.placement(signal), arrays)
        self.array(("result", "result_row", "result_time"), 0, self.plan.placement((number,)), arrays)
        self.bind_state()

    def bind_state(self) -> None:
        """Write where the state is read and written: at its offset in the network's, or in arrays of the node."""
        node, offset = self.node, self.node.offset
        if offset is None:
            self.word("carry_out", 0, self.discarded)
            return
        if ("carry_in", 0) in node.kernel.kernel.slot_index:
            pointers = self.begin + HEAD_INDEX["state_pointers"]
            self.patches.append(_Patch(pointers, HeaderField.STATE_POINTERS, 1, 0))
            self.descriptor[HEAD_INDEX["state_offset"]] = 4 * offset
        self.patch("carry_in", 0, HeaderField.STATE, addend=4 * offset)
        self.patch("carry_out", 0, HeaderField.AFTER, addend=4 * offset)
        self.word("carry_in_row", 0, 4 * self.plan.state_size)
        self.word("carry_out_row", 0, 4 * self.plan.state_size)

    def array(
        self, kinds: tuple[SlotKind, SlotKind, SlotKind], index: int, placement: OutputPlacement, arrays: list[int]
    ) -> None:
        """Write address, row stride and time stride of an output."""
        place, row, time = kinds
        if placement.array < 0:
            self.patch(place, index, HeaderField.OUTPUTS, addend=placement.column)
            self.word(row, index, 4 * self.plan.out_size)
            self.patch(time, index, HeaderField.OUTPUTS_TIME)
        else:
            width = self.plan.widths[placement.array]
            self.word(place, index, arrays[placement.array] + placement.column)
            self.word(row, index, width)
            self.patch(time, index, HeaderField.ROWS, factor=width)

    def word(self, kind: SlotKind, index: int, value: int) -> None:
        """Write a slot that stays the same, if the kernel has it."""
        position = self.node.kernel.kernel.slot_index.get((kind, index))
        if position is not None:
            self.descriptor[position] = value

    def patch(self, kind: SlotKind, index: int, field: HeaderField, *, factor: int = 1, addend: int = 0) -> None:
        """Note that a slot changes with each chunk, if the kernel has it."""
        position = self.node.kernel.kernel.slot_index.get((kind, index))
        if position is not None:
            self.patches.append(_Patch(self.begin + position, field, factor, addend))


class _FrameBuilder:
    """Builds one frame: lays out its words and its scratch memory, and writes the addresses."""

    def __init__(self, plan: NetworkPlan, capacity: int) -> None:
        self.plan = plan
        self.capacity = capacity
        self.patches: list[_Patch] = []
        self.end = 0
        """Bytes of scratch memory that are reserved so far."""

    def frame(self) -> NetworkFrame:
        """Return the frame."""
        plan = self.plan
        descriptors = [node.kernel.kernel.unbound_descriptor() for node in plan.nodes]
        begins = np.cumsum([int(HeaderField.COUNT), *(len(d) for d in descriptors)])
        arrays = [self._reserve(self.capacity * width) for width in plan.widths]
        discarded = self._reserve(4 * max(node.kernel.cell.state_size for node in plan.nodes))
        shared = self.end
        lengths = [self._place_shared(node, d, shared) for node, d in zip(plan.nodes, descriptors, strict=True)]
        length = max([shared, *lengths])
        # Contents from earlier calls are harmless, as in a frame that is used again.
        arena = aligned(length, clear=True) if length <= LARGE_BYTES else ARENAS.take(length, clear=False)
        base = arena.address if isinstance(arena, Scratch) else address(arena)
        for node, descriptor, begin in zip(plan.nodes, descriptors, begins, strict=False):
            at = node.kernel.kernel.slot_index
            descriptor[[at["buffer", i] for i in range(len(node.kernel.kernel.memory_plan.buffers))]] += base
            binding = _LayerBinding(plan, node, descriptor, int(begin), self.patches, base + discarded)
            binding.bind([base + place for place in arrays])
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

    def _assembled(self, descriptors: list[Words], begins: Words, arena: Bytes | Scratch, length: int) -> NetworkFrame:
        """Return the frame: the header, the descriptors, and the tables of layers, of patches and of rows."""
        plan = self.plan
        layers = int(begins[-1])
        patches = layers + 2 * len(plan.nodes)
        weights = patches + 4 * len(self.patches)
        places = [
            int(begin) + place for node, begin in zip(plan.nodes, begins, strict=False) for place in weight_places(node)
        ]
        rows = weights + len(places)
        words: Words = np.zeros(rows + self.capacity, np.int64)
        base, faults, lengths = (
            address(words),
            np.zeros((2, self.capacity), np.int32),
            np.zeros(self.capacity, np.int32),
        )
        self._write_descriptors(words, descriptors, begins, faults)
        kernels = [node.kernel.kernel.code.address for node in plan.nodes]
        words[layers:patches] = np.column_stack([kernels, base + 8 * begins[:-1]]).reshape(-1)
        words[patches:weights] = [word for place, *rest in self.patches for word in (base + 8 * place, *rest)]
        words[weights:rows] = [base + 8 * place for place in places]
        head = _surroundings() | {
            HeaderField.CAPACITY: self.capacity,
            HeaderField.IN_SIZE: plan.in_size,
            HeaderField.OUT_SIZE: plan.out_size,
            HeaderField.STATE_SIZE: plan.state_size,
            HeaderField.FLOPS: plan.flops,
            HeaderField.LAYERS: base + 8 * layers,
            HeaderField.LAYER_COUNT: len(plan.nodes),
            HeaderField.PATCHES: base + 8 * patches,
            HeaderField.PATCH_COUNT: len(self.patches),
            HeaderField.WEIGHT_PLACES: base + 8 * weights,
            HeaderField.WEIGHT_COUNT: rows - weights,
            HeaderField.ROW_TABLE: base + 8 * rows,
            HeaderField.LENGTH_TABLE: address(lengths),
            HeaderField.BAD_STEP: address(faults[0]),
            HeaderField.BAD_KIND: address(faults[1]),
        }
        words[list(head)] = list(head.values())
        size = words.nbytes + length + faults.nbytes + lengths.nbytes
        return NetworkFrame(words, arena, lengths, faults[0], faults[1], size)

    def _write_descriptors(self, words: Words, descriptors: list[Words], begins: Words, faults: Ints) -> None:
        """Write the descriptors to the frame. Raise ValueError for an address that nothing will fill in."""
        for node, begin, descriptor in zip(self.plan.nodes, begins.tolist(), descriptors, strict=False):
            descriptor[[HEAD_INDEX["bad_step"], HEAD_INDEX["bad_kind"]]] = address(faults[0]), address(faults[1])
            later = *weight_places(node), *(patch.position - begin for patch in self.patches)
            node.kernel.kernel.check_bound(descriptor, later)
            words[begin : begin + len(descriptor)] = descriptor


def weight_places(node: PlanNode) -> list[int]:
    """Return the positions in a node's descriptor of the addresses that depend on the weights."""
    initial = node.initial_state_place
    return [*node.kernel.kernel.weight_places, *(() if initial is None else (initial,))]


def weight_addresses(node: PlanNode, weights: NodeWeights) -> list[int]:
    """Return the addresses for these positions, in the same order. Raise ValueError if one is missing."""
    found = node.kernel.kernel.weight_addresses(weights.packed)
    if node.initial_state_place is not None:
        found.append(address(weights.initial))
    if not all(found):
        raise ValueError("a kernel has no address for a weight")
    return found


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


def new_frame(plan: NetworkPlan, capacity: int) -> NetworkFrame:
    """Return a new frame for chunks of `capacity` rows times steps."""
    return _FrameBuilder(plan, capacity).frame()
