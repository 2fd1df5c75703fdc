"""Plans the memory of a kernel: the slots of its descriptor, and the padded buffers of its scratch memory.

A kernel takes one address, of an array of 64-bit integers: its descriptor. The first are fixed (`DESCRIPTOR_HEAD`). The
rest are slots: sizes, dense arrays with their strides, addresses of weights, and buffers. A padded row of n floats has
ceil(n / 16) blocks of 64 bytes; a scalar is a block with the same value in every lane.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellar.engine.ir.graph import Node
from cellar.engine.passes.schedule import CONSTANTS, Carried, FusedLoop, KernelSchedule, ProductGroup

DESCRIPTOR_HEAD = (
    "steps",
    "rows",
    "start",
    "lengths",
    "bad_step",
    "bad_kind",
    "reverse",
    "grad_mask",
    "layer",
    "subnormal_probe",
    "product",
    "product_float32",
    "state_pointers",
    "initial_state",
    "state_offset",
)
"""The first words of a descriptor:

- `steps`, `rows`: of this call. `start`: the number of its first step in the sequence.
- `lengths`: address of the rows' lengths; 0 if all rows run to the end.
- `bad_step`, `bad_kind`: addresses of arrays where the kernel records faults.
- `reverse`: 1 to read dense arrays from each row's end.
- `grad_mask`: which results are wanted, a bit each, and `PARAM_GRADIENTS`.
- `layer`: the number of the layer among those that record faults in the same arrays.
- `subnormal_probe`: address of three numbers that show whether the thread keeps subnormal numbers.
- `product`, `product_float32`: addresses of the matrix products for the kernel's weights and for float32 weights.
- `state_pointers`: address of a table with one state pointer per row, where 0 means the initial state; 0 if the dense
  array of the carried values holds the state of every row.
- `initial_state`: address of the initial state.
- `state_offset`: bytes from a state pointer to this kernel's own state."""

HEAD_INDEX = {name: index for index, name in enumerate(DESCRIPTOR_HEAD)}

PAIRS = 128
"""Pairs of step and row whose factors of weight gradients are packed at a time: they fill the second-level cache."""

PARAM_GRADIENTS = 1 << 62
"""The bit of `grad_mask` above those of the results: the gradients of parameters. Without it a kernel does not read
their slots."""

CONTINUED, UNFINISHED = 1 << 61, 1 << 60
"""Bits of `grad_mask` for a sequence that is run in segments, the last one first: the partial sums of vectors and
scalars are those of the segment before; they are not yet added up, because a segment follows."""

PHASE = 16
"""The i-th term of a partial sum goes to the lane i mod 16: a segment that is followed by another one must have a
multiple of this many pairs of step and row, and of `PAIRS` if a matrix is read more than once."""

SlotKind = Literal[
    "size",
    "input",
    "input_row",
    "input_time",
    "result",
    "result_row",
    "result_time",
    "carry_in",
    "carry_in_row",
    "carry_out",
    "carry_out_row",
    "group",
    "vector",
    "tape",
    "tape_row",
    "buffer",
    "pairs",
    "grad",
    "sums",
]
Span = Literal["call", "step", "history"]

HEAD_ADDRESSES = ("bad_step", "bad_kind", "subnormal_probe", "product", "product_float32")
"""Fields of the head that must not be 0; `lengths`, `state_pointers` and `initial_state` may be, with a meaning."""

SLOT_ADDRESSES: frozenset[SlotKind] = frozenset(
    ("input", "result", "carry_in", "carry_out", "group", "vector", "tape", "buffer", "pairs", "grad", "sums")
)
"""Slots that hold an address; it must not be 0 if the kernel uses it."""

GRADIENT_SLOTS: frozenset[SlotKind] = frozenset(("grad", "sums"))
"""Slots that a kernel uses only for the gradients of parameters."""


Slot = tuple[SlotKind, int | str]
"""One word of the descriptor: its kind, and the number or name that distinguishes several of a kind."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Scratch memory of a kernel: a row of padded values for each row of the batch, and each step if `span` says so.

    Spans: "step" has room for one step, "call" for every step of a call, "history" for one step more.
    """

    widths: tuple[str, ...]
    """Size names, "" for a scalar."""
    span: Span


@dataclass(frozen=True, slots=True)
class BufferPlace:
    """Where the value of a node is: a buffer, and the sizes of the values before it in a row."""

    buffer: int
    before: tuple[str, ...] = ()


@dataclass
class MemoryPlan:
    """The slots and buffers of a kernel, in order."""

    schedule: KernelSchedule
    numbers: dict[Slot, int] = field(default_factory=dict)
    """Every slot with its position in the descriptor, in the order in which they were made."""
    buffers: list[Buffer] = field(default_factory=list)
    places: dict[Node, BufferPlace] = field(default_factory=dict)
    groups: list[ProductGroup] = field(default_factory=list)
    vectors: list[Node] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    """The size names of the factors that a backward kernel packs for weight gradients."""
    in_place: tuple[Carried, ...] = ()
    """Carried values that are written, by the loop that computes them, to the place where the next step reads them."""
    direct: tuple[int, ...] = ()
    """Numbers of the results that are written, by the loop that computes them, to the caller's array."""

    def number(self, slot: Slot) -> int:
        """Return the position of a slot in the descriptor, making it on first use."""
        return self.numbers.setdefault(slot, len(DESCRIPTOR_HEAD) + len(self.numbers))


def width_bytes(size: int) -> int:
    """Return the bytes of a padded row of `size` floats."""
    return (size + 15) // 16 * 64


def row_bytes(widths: tuple[str, ...], sizes: Mapping[str, int]) -> int:
    """Return the bytes of a row of a buffer."""
    return sum(width_bytes(sizes[name]) if name else 64 for name in widths)


SKEW = 192
"""Bytes between buffers, so that their rows do not fall on the same lines of the first-level cache."""


def scratch_lengths(plan: MemoryPlan, sizes: Mapping[str, int], spans: Mapping[Span, int]) -> list[int]:
    """Return the bytes of each buffer, then of each factor of gradients, for these numbers of rows of each span."""
    lengths = [spans[buffer.span] * row_bytes(buffer.widths, sizes) for buffer in plan.buffers]
    return lengths + [PAIRS * row_bytes((name,), sizes) for name in plan.pairs]


def spans_of(steps: int, rows: int) -> Mapping[Span, int]:
    """Return the numbers of rows in a call of `steps` steps of `rows` rows."""
    return {"call": steps * rows, "step": rows, "history": (steps + 1) * rows}


def scratch_bytes(plan: MemoryPlan, sizes: Mapping[str, int], steps: int, rows: int) -> int:
    """Return the bytes of scratch memory that a call of `steps` steps of `rows` rows needs."""
    lengths = scratch_lengths(plan, sizes, spans_of(steps, rows))
    return sum(lengths) + SKEW * len(lengths)


def plan_memory(schedule: KernelSchedule) -> MemoryPlan:
    """Return the memory plan of a schedule: a place for every value that is read outside the loop that computes it."""
    computed = {node for _, stage in schedule.stages if isinstance(stage, FusedLoop) for node in stage.nodes}
    reductions = {node for node in computed if node.op.kind == "reduction"}
    in_place = tuple(
        c for c in schedule.carried if c.following in computed - reductions and _may_write_in_place(schedule, c)
    )
    direct = tuple(index for index, node in enumerate(schedule.results) if node in computed - reductions)
    layout = MemoryPlan(schedule, in_place=in_place, direct=direct)
    for node in schedule.inputs:
        _place(layout, (node,), "call")
    for carried in schedule.carried:
        _place(layout, (carried.leaf,), "history" if schedule.history else "step")
    stored = _stored(layout)
    for region, stage in schedule.stages:
        if isinstance(stage, ProductGroup):
            layout.groups.append(stage)
            _place(layout, stage.nodes, _span(schedule, region, stage.nodes))
        else:
            for node in stage.nodes:
                if node in stored:
                    _place(layout, (node,), _span(schedule, region, (node,)))
    return layout


def _may_write_in_place(schedule: KernelSchedule, carried: Carried) -> bool:
    """Return whether a new value may be written over the old one: no later stage of the step reads the old one.

    Within the stage it is safe, since a loop reads a block of every operand before it writes one.
    """
    if schedule.history:
        return True
    stages = [stage for _, stage in schedule.stages]
    writing = next(index for index, stage in enumerate(stages) if carried.following in stage.nodes)
    return not any(carried.leaf in stage.reads for stage in stages[writing + 1 :])


def _place(layout: MemoryPlan, nodes: tuple[Node, ...], span: Span) -> None:
    widths = tuple(extent(node) for node in nodes)
    for index, node in enumerate(nodes):
        layout.places[node] = BufferPlace(len(layout.buffers), widths[:index])
    layout.buffers.append(Buffer(widths, span))


def extent(node: Node) -> str:
    """Return the size name of a vector, "" of a scalar."""
    return node.shape[0] if node.shape else ""


def _stored(layout: MemoryPlan) -> set[Node]:
    """Return the nodes that are read outside the loop that computes them."""
    schedule = layout.schedule
    stored = {c.following for c in schedule.carried if c not in layout.in_place} | set(schedule.kept)
    stored |= {node for index, node in enumerate(schedule.results) if index not in layout.direct}
    for _, stage in schedule.stages:
        stored |= {*stage.reads, *(node for node in stage.nodes if node.op.kind == "reduction")}
    return {node for node in stored if node.op not in CONSTANTS}


def _span(schedule: KernelSchedule, region: str, nodes: tuple[Node, ...]) -> Span:
    """Return how long a value must be kept: for one step, unless it is read outside the time loop."""
    if region != "loop":
        return "call"
    lasting = {*schedule.results, *schedule.kept}
    for other, stage in schedule.stages:
        if other == "after":
            lasting.update(stage.reads)
    return "call" if any(node in lasting for node in nodes) else "step"
