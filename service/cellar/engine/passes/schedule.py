"""Puts the operations of a step into the order in which a kernel computes them, with as few loops as possible.

A kernel has three regions. `before` holds what does not depend on carried values (the state): it is computed for all
time steps of a call at once. `loop` runs step by step. `after` holds products that no carried value needs, again
for all steps at once. No region changes a bit: every element is computed by the same operations in the same order.

Within a region, stages alternate: products that share an operand become one product with packed weights, and
elementwise work is fused into one loop over each extent, with the folds that end it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from cellar.engine.ir.graph import Node, Operation, Step, toposort
from cellar.engine.ir.ops import Op, broadcast
from cellar.engine.passes.autodiff import OUTPUT_COTANGENT, Adjoint

Region = Literal["before", "loop", "after"]
REGIONS: tuple[Region, ...] = ("before", "loop", "after")

CONSTANTS = (Op.PARAM, Op.CONST, Op.LENGTH)


@dataclass(frozen=True, slots=True)
class ProductGroup:
    """Products of several matrices with one vector: their panels lie one after the other, and so do their results."""

    operand: Node
    nodes: tuple[Node, ...]

    @property
    def transposed(self) -> bool:
        """Return whether the matrices are read transposed."""
        return self.nodes[0].op is Op.PRODUCT_T

    @property
    def reads(self) -> tuple[Node, ...]:
        """Return the nodes that it reads from memory, without the matrices."""
        return (self.operand,)


@dataclass(frozen=True, slots=True)
class FusedLoop:
    """One loop over the blocks of an extent (a size, or "" for scalars): elementwise nodes and reductions, in order."""

    extent: str
    nodes: tuple[Node, ...]

    @property
    def reads(self) -> tuple[Node, ...]:
        """Return the nodes that it reads from memory. The results of its own reductions are complete only after it."""
        inside = {node for node in self.nodes if node.op.kind != "reduction"}
        return tuple(dict.fromkeys(s for node in self.nodes for s in node.sources if s not in inside))


Stage = ProductGroup | FusedLoop


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that each step hands to the next: the leaf that reads it, and the node that is its new value."""

    leaf: Node
    following: Node


@dataclass(frozen=True)
class KernelSchedule:
    """The operations of a kernel, in the order in which it computes them."""

    step: Step
    adjoint: Adjoint | None
    """The adjoint, if the kernel computes the backward pass; None if it computes the step."""
    inputs: tuple[Node, ...]
    """Leaves that are copied in from dense arrays, (T, B, size) each."""
    carried: tuple[Carried, ...]
    taped: tuple[Node, ...]
    """Values of every step that another kernel left behind."""
    results: tuple[Node, ...]
    """Nodes that are copied out to dense arrays, (T, B, size) each."""
    kept: tuple[Node, ...]
    """Nodes of which the value of every step is needed after the loop."""
    history: bool = False
    """Keep every carried value of a call and not only the newest."""
    regions: dict[Region, tuple[Stage, ...]] = field(default_factory=dict)
    region_of: dict[Node, Region] = field(default_factory=dict)

    @property
    def backward(self) -> bool:
        """Whether time descends; then nothing is checked for being finite."""
        return self.adjoint is not None

    @property
    def stages(self) -> list[tuple[Region, Stage]]:
        """Return all stages in order, each with its region."""
        return [(region, stage) for region in REGIONS for stage in self.regions[region]]


def forward_schedule(step: Step, adjoint: Adjoint | None = None) -> KernelSchedule:
    """Return the schedule of a step; with an adjoint, every value that it reads is kept for the backward kernel."""
    carried = tuple(Carried(s.previous, _computed(s.following)) for s in step.states)
    kept = _read_by_adjoint(step, adjoint) if adjoint is not None else ()
    schedule = KernelSchedule(step, None, step.inputs, carried, (), (_computed(step.output),), kept)
    return _with_stages(schedule, history=adjoint is not None)


def backward_schedule(step: Step, adjoint: Adjoint) -> KernelSchedule:
    """Return the schedule of the adjoint of a step."""
    leaves = [adjoint.cotangents[s.name] for s in step.states]
    carried = tuple(Carried(leaf, _computed(node)) for leaf, node in zip(leaves, adjoint.states, strict=True))
    factors = [node for pairs in adjoint.matrices.values() for pair in pairs for node in pair]
    kept = dict.fromkeys(node for node in (*adjoint.params.values(), *factors) if node.op not in CONSTANTS)
    inputs = (adjoint.cotangents[OUTPUT_COTANGENT],)
    results = tuple(_computed(node) for node in adjoint.inputs)
    schedule = KernelSchedule(step, adjoint, inputs, carried, tape(step, adjoint), results, tuple(kept))
    return _with_stages(schedule, history=False)


def tape(step: Step, adjoint: Adjoint) -> tuple[Node, ...]:
    """Return the values that the forward pass saves for the adjoint: inputs, previous states, and computed values."""
    return (*step.inputs, *(s.previous for s in step.states), *_read_by_adjoint(step, adjoint))


def _read_by_adjoint(step: Step, adjoint: Adjoint) -> tuple[Node, ...]:
    """Return the computed values of a step that its adjoint reads, in the step's order."""
    own = [node for node in toposort(step.roots) if node.sources]
    known = set(own)
    read: set[Node] = set()
    stack = list(adjoint.roots)
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in known:
            read.add(node)
        else:
            stack.extend(node.sources)
    return tuple(node for node in own if node in read)


def _computed(node: Node) -> Node:
    """Return a node that a stage computes: for a bare leaf, a copy."""
    return node if node.sources else broadcast(node, node.shape)


def _with_stages(schedule: KernelSchedule, *, history: bool) -> KernelSchedule:
    """Return a schedule with its regions and stages."""
    carried, kept = schedule.carried, schedule.kept
    roots = [*(c.following for c in carried), *schedule.results, *kept]
    ready = {*schedule.inputs, *schedule.taped, *(c.leaf for c in carried)}
    nodes = [node for node in _below(roots, ready) if node not in ready and node.op not in CONSTANTS]
    region_of = _regions(nodes, carried, {*schedule.results, *kept})
    regions: dict[Region, tuple[Stage, ...]] = {}
    done = set(ready)
    for region in REGIONS:
        regions[region] = tuple(_stages([node for node in nodes if region_of[node] == region], done))
    leaves = {c.leaf for c in carried}
    late = any(leaves & set(stage.reads) for stage in regions["after"])
    history = history or late or bool(leaves & set(kept))
    return replace(schedule, history=history, regions=regions, region_of=region_of)


def _below(roots: Iterable[Node], ready: set[Node]) -> list[Node]:
    """Return the nodes that must be computed for the roots, in order, if those in `ready` are there."""
    reached: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in reached and node not in ready:
            reached.add(node)
            stack.extend(node.sources)
    return [node for node in toposort(roots) if node in reached]


def _regions(nodes: list[Node], carried: tuple[Carried, ...], wanted: set[Node]) -> dict[Node, Region]:
    """Assign a region to each node; `wanted` are those whose value of every step is needed.

    A product is the reason to leave the loop: for all steps at once it reads its matrix once. Elementwise work moves
    only together with a product, or with a wanted value, because in the loop its operands are in the caches.
    """
    state_dependent = {c.leaf for c in carried}
    for node in nodes:
        if any(source in state_dependent for source in node.sources):
            state_dependent.add(node)
    next_step_needs = set(toposort(c.following for c in carried))
    region_of: dict[Node, Region] = {}
    for node in nodes:
        follows_late = any(region_of.get(source) == "after" for source in node.sources)
        can_wait = node in state_dependent and node not in next_step_needs
        region_of[node] = "after" if can_wait and (follows_late or node.op.kind == "product") else "loop"
    early = [n for n in nodes if n not in state_dependent and (n.op.kind == "product" or n in wanted)]
    region_of |= {node: "before" for node in toposort(early) if node in region_of}
    return region_of


def _stages(nodes: list[Node], done: set[Node]) -> Iterable[Stage]:
    """Yield the stages of one region; `done` grows with what they compute."""
    pending = list(nodes)
    while pending:
        products = [node for node in pending if node.op.kind == "product" and _ready(node, done)]
        yield from _grouped(products)
        done.update(products)
        pending = [node for node in pending if node not in done]
        for extent in dict.fromkeys(loop_extent(node) for node in pending):
            fused = _fusable(pending, extent, done)
            if fused:
                yield FusedLoop(extent, tuple(fused))
                done.update(fused)
        pending = [node for node in pending if node not in done]


def _ready(node: Node, done: set[Node]) -> bool:
    return all(source in done or source.op in CONSTANTS for source in node.sources)


def _grouped(products: list[Node]) -> Iterable[ProductGroup]:
    groups: dict[tuple[Node, Operation], list[Node]] = {}
    for node in products:
        groups.setdefault((node.sources[1], node.op), []).append(node)
    for (operand, _), members in groups.items():
        yield ProductGroup(operand, tuple(members))


def loop_extent(node: Node) -> str:
    """Return the size that a node's loop runs over; a reduction runs over its operand's size."""
    shape = node.sources[0].shape if node.op.kind == "reduction" else node.shape
    return shape[0] if shape else ""


def _fusable(pending: list[Node], extent: str, done: set[Node]) -> list[Node]:
    """Return, in order, the nodes that one loop over the extent can compute, given what is done."""
    inside: list[Node] = []
    available: set[Node] = set()
    for node in pending:
        if node.op.kind == "product" or loop_extent(node) != extent:
            continue
        if all(source in done or source in available or source.op in CONSTANTS for source in node.sources):
            inside.append(node)
            if node.op.kind != "reduction":
                available.add(node)
    return inside
