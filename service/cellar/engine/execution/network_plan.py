"""Plans the memory of a network's calls: where each layer's output goes, and how many rows and steps a frame holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cellar.engine.execution.arrays import Bytes, Floats, Ints, Words
from cellar.engine.execution.compiled_cell import CompiledCell
from cellar.engine.execution.packed_weights import PackedWeights
from cellar.engine.execution.scratch_pool import Scratch
from cellar.engine.passes.memory_plan import HEAD_INDEX, row_bytes

Signal = tuple[int, ...]
"""Numbers of nodes whose outputs are side by side in memory."""

INPUT: Signal = (-1,)
"""The network's input."""

CHUNK_BYTES = 256 * 1024
"""Limit of the values that a kernel computes for a chunk before its time loop: they stay in the second-level cache."""

LEAST_CAPACITY, MOST_CAPACITY = 64, 1024
"""Limits of rows times steps of a chunk: enough to fill every tile, few enough for the caches. More rows raise it."""


LARGE_BYTES = 16 * 1024 * 1024
"""Scratch memory of this size and more is taken from the process's pool, and not kept by a network."""


@dataclass(frozen=True, slots=True, eq=False)
class PlanNode:
    """A cell in a network, without weights: the signals that it reads, and the place of its state."""

    kernel: CompiledCell
    reads: tuple[Signal, ...]
    """A signal for each input of the cell."""
    offset: int | None
    """Where its state begins in a row of the network's; None: at every call it begins with its initial state."""
    reverse: bool = False
    """Each row is read from its end to its start."""

    @property
    def initial_state_place(self) -> int | None:
        """The position in the descriptor of the address of the initial state, None if the kernel reads none."""
        carry_in = self.kernel.kernel.slot_index.get(("carry_in", 0))
        return HEAD_INDEX["initial_state"] if carry_in is not None and self.offset is not None else carry_in


class NodeWeights(NamedTuple):
    """The weights of a node."""

    packed: PackedWeights
    initial: Floats
    """(S,), the state with which a row begins."""


@dataclass(frozen=True, slots=True)
class NetworkFrame:
    """The memory of one call at a time: header, tables and descriptors in one block, and scratch memory."""

    words: Words
    """The header (`HeaderField`), the tables that it points to, and the descriptors."""
    arena: Bytes | Scratch
    lengths: Ints
    bad_step: Ints
    bad_kind: Ints
    size: int
    """Bytes of all of it."""


class Run(NamedTuple):
    """The results of T steps of B rows."""

    outputs: Floats
    """(T, B, out); zeros at and past a row's length."""
    state: Floats
    """(B, S) after the last step of each row."""
    bad_step: Ints | None = None
    """(B,) the first step that made a state or an output NaN or infinite, -1 if none did; None if no row has one."""
    bad_kind: Ints | None = None
    """(B,) 1 a state, 2 an output."""


class OutputPlacement(NamedTuple):
    """Where a node's output is stored: an array between layers (-1: the network's output), and its column in bytes."""

    array: int
    column: int


class NetworkPlan:
    """The parts of a frame's layout that do not depend on rows and steps."""

    def __init__(self, nodes: tuple[PlanNode, ...], output: Signal, in_size: int, state_size: int) -> None:
        self.nodes = nodes
        self.in_size, self.state_size = in_size, state_size
        self.out_size = self._width(output)
        self.single_chunk = any(node.reverse for node in nodes)
        """Whether a call must be one chunk, because a node reads its inputs from their end."""
        self._widths: list[int] = []
        """Bytes of a row of each array between layers."""
        self._placements: dict[int, OutputPlacement] = {}
        self._place_outputs(output)
        self._capacity = self._default_capacity()
        self.flops = sum(node.kernel.cell.flops for node in nodes)
        """Of one row and step."""

    def capacity(self, steps: int, rows: int) -> int:
        """Return the capacity of a frame for a call: a power of two of steps times rows, one for all small calls."""
        wanted = steps * rows if self.single_chunk else max(rows, min(self._capacity, steps * rows))
        return max(LEAST_CAPACITY, 1 << max(0, wanted - 1).bit_length())

    # --- arrays between layers

    def placement(self, signal: Signal) -> OutputPlacement:
        """Return where a signal begins."""
        return self._placements[signal[0]]

    @property
    def widths(self) -> Sequence[int]:
        """Return the bytes of a row of each array between layers."""
        return self._widths

    def _width(self, signal: Signal) -> int:
        return sum(self.in_size if number < 0 else self.nodes[number].kernel.cell.out_size for number in signal)

    def _place_outputs(self, output: Signal) -> None:
        """Place the output of every node, so that the members of each signal are side by side."""
        read = {signal for node in self.nodes for signal in node.reads if signal != INPUT}
        self._place_signal(output, -1)
        alone = [(number,) for number in range(len(self.nodes))]
        for signal in [*sorted(read, key=lambda signal: (-len(signal), signal)), *alone]:
            if not all(number in self._placements for number in signal):
                self._place_signal(signal, len(self._widths))
                self._widths.append(4 * self._width(signal))
        for signal in (output, *read):
            column = self._placements[signal[0]].column
            for number in signal:
                if self._placements[number] != OutputPlacement(self._placements[signal[0]].array, column):
                    raise ValueError(f"the outputs of nodes {signal} cannot stand side by side")
                column += 4 * self._width((number,))

    def _place_signal(self, signal: Signal, array: int) -> None:
        column = 0
        for number in signal:
            self._placements[number] = OutputPlacement(array, column)
            column += 4 * self._width((number,))

    def _default_capacity(self) -> int:
        widest = max(_chunk_bytes(node) for node in self.nodes)
        fitting = CHUNK_BYTES // widest
        return max(LEAST_CAPACITY, min(MOST_CAPACITY, 1 << max(0, fitting).bit_length() - 1 if fitting else 0))


def _chunk_bytes(node: PlanNode) -> int:
    """Return the bytes that a kernel computes before its time loop for a row and step."""
    layout, sizes = node.kernel.kernel.memory_plan, node.kernel.cell.sizes
    return max(64, sum(row_bytes(b.widths, sizes) for b in layout.buffers if b.span == "call"))
