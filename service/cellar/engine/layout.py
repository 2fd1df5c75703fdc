"""Where a kernel finds things: the slots of its descriptor, and the padded buffers of its scratch memory.

A kernel takes one address, of an array of 64-bit integers. The first seven are fixed (`HEAD`); the rest are slots in
the order of the layout: sizes, addresses of dense arrays and of weights, and buffers. A padded row of n floats has
ceil(n / 16) blocks of 64 bytes; a scalar is a block with the same value in every lane.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellar.engine.graph import Node
from cellar.engine.ops import OPS
from cellar.engine.schedule import CONSTANTS, Plan, Products

HEAD = ("steps", "rows", "chunk", "lengths", "bad_step", "bad_kind", "probe")

SlotKind = Literal[
    "size", "staged", "result", "carry_in", "carry_out", "group", "vector", "tape", "tape_row", "buffer", "grad", "sums"
]
Span = Literal["chunk", "step", "history"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One number of the descriptor: its kind, and which of that kind."""

    kind: SlotKind
    index: int | str


@dataclass(frozen=True, slots=True)
class Buffer:
    """Scratch memory of a kernel: rows of the widths' sum, for each step of a chunk, for one step, or one more."""

    widths: tuple[str, ...]
    """Size names, "" for a scalar."""
    span: Span


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node's value stands: a buffer, and the sizes that come before it in a row."""

    buffer: int
    before: tuple[str, ...] = ()


@dataclass
class Layout:
    """The slots and buffers of a kernel, in order."""

    plan: Plan
    slots: list[Slot] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    places: dict[Node, Place] = field(default_factory=dict)
    groups: list[Products] = field(default_factory=list)
    vectors: list[Node] = field(default_factory=list)

    def number(self, slot: Slot) -> int:
        """Return the position of a slot in the descriptor, making it on first use."""
        if slot not in self.slots:
            self.slots.append(slot)
        return len(HEAD) + self.slots.index(slot)


def width_bytes(size: int) -> int:
    """Return the bytes of a padded row of `size` floats."""
    return (size + 15) // 16 * 64


def row_bytes(widths: tuple[str, ...], sizes: Mapping[str, int]) -> int:
    """Return the bytes of a row of a buffer."""
    return sum(width_bytes(sizes[name]) if name else 64 for name in widths)


def arrange(plan: Plan) -> Layout:
    """Return the layout of a plan: a place for every value that outlives the loop that computes it."""
    layout = Layout(plan)
    for node in plan.staged:
        _place(layout, (node,), "chunk")
    for carried in plan.carried:
        _place(layout, (carried.leaf,), "history" if plan.history else "step")
    stored = _stored(plan)
    for region, stage in plan.stages:
        if isinstance(stage, Products):
            layout.groups.append(stage)
            _place(layout, stage.nodes, _span(plan, region, stage.nodes))
        else:
            for node in stage.nodes:
                if node in stored:
                    _place(layout, (node,), _span(plan, region, (node,)))
    return layout


def _place(layout: Layout, nodes: tuple[Node, ...], span: Span) -> None:
    widths = tuple(extent(node) for node in nodes)
    for index, node in enumerate(nodes):
        layout.places[node] = Place(len(layout.buffers), widths[:index])
    layout.buffers.append(Buffer(widths, span))


def extent(node: Node) -> str:
    """Return the size name of a vector, "" of a scalar."""
    return node.shape[0] if node.shape else ""


def _stored(plan: Plan) -> set[Node]:
    """Return the nodes that something outside their own loop reads."""
    stored = {c.following for c in plan.carried} | set(plan.results) | set(plan.kept)
    for _, stage in plan.stages:
        stored |= {*stage.reads, *(node for node in stage.nodes if OPS[node.op].kind == "fold")}
    return {node for node in stored if node.op not in CONSTANTS}


def _span(plan: Plan, region: str, nodes: tuple[Node, ...]) -> Span:
    """Return how long a value must live: a step, unless something outside the loop wants it."""
    if region != "loop":
        return "chunk"
    lasting = {*plan.results, *plan.kept}
    for other, stage in plan.stages:
        if other == "after":
            lasting.update(stage.reads)
    return "chunk" if any(node in lasting for node in nodes) else "step"
