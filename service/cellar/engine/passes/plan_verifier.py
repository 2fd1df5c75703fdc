"""Checks that a schedule and its memory plan are legal: no value is read before it is computed, or from a wrong place.

In a legal schedule every value is computed once, after what it reads. In a legal memory plan every value that is read
has a place within a row of its buffer, which no other value shares, and which keeps the value until the last read. In a
legal descriptor each slot has a position of its own and names something that the kernel has.
"""

import re

from cellar.engine.ir.graph import Node
from cellar.engine.passes.memory_plan import DESCRIPTOR_HEAD, MemoryPlan, extent
from cellar.engine.passes.schedule import CONSTANTS, FusedLoop, KernelSchedule, ProductGroup, Region, Stage, loop_extent


class PlanError(AssertionError):
    """A schedule or a memory plan is not legal: a defect of the compiler, never of the user's text."""


def _check(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise PlanError(f"{where}: {what}")


def _numbered(schedule: KernelSchedule) -> list[tuple[str, Region, Stage]]:
    """Return the stages in order, each with its name in errors."""
    return [(f"stage {number} ({region})", region, stage) for number, (region, stage) in enumerate(schedule.stages)]


# --- schedules


def verify_schedule(schedule: KernelSchedule) -> None:
    """Raise PlanError unless every value is computed once, and after what it reads."""
    leaves = {c.leaf for c in schedule.carried}
    done = {*schedule.inputs, *schedule.taped}
    for where, region, stage in _numbered(schedule):
        if region != "before":
            done |= leaves
        for node in stage.nodes:
            _check(schedule.region_of.get(node) == region, where, f"{node.op} belongs to another region")
        if isinstance(stage, ProductGroup):
            _verify_products(stage, done, where)
        else:
            _verify_loop(stage, done, where)
        done.update(stage.nodes)
    done |= leaves
    for kind, nodes in (("result", schedule.results), ("kept value", schedule.kept)):
        for index, node in enumerate(nodes):
            _check(node in done, f"{kind} {index}", f"{node.op} is never computed")
    for index, carried in enumerate(schedule.carried):
        in_time = carried.following in done and schedule.region_of.get(carried.following) != "after"
        _check(in_time, f"carried value {index}", f"{carried.following.op} is not computed before the next step")


def _verify_products(stage: ProductGroup, done: set[Node], where: str) -> None:
    known = stage.operand in done or stage.operand.op in CONSTANTS
    _check(known, where, f"the operand {stage.operand.op} is read before it is computed")
    for node in stage.nodes:
        same = node.op.kind == "product" and node.sources[1] is stage.operand and node.op is stage.nodes[0].op
        _check(same, where, f"{node.op} is no product with the group's operand")
        _check(node not in done, where, f"{node.op} is computed twice")


def _verify_loop(stage: FusedLoop, done: set[Node], where: str) -> None:
    inside: set[Node] = set()
    for node in stage.nodes:
        _check(node.op.kind in ("map", "reduction"), where, f"a loop cannot compute {node.op}")
        _check(loop_extent(node) == stage.extent, where, f"{node.op} runs over {loop_extent(node) or 'a scalar'}")
        _check(node not in done and node not in inside, where, f"{node.op} is computed twice")
        for source in node.sources:
            known = source in done or source in inside or source.op in CONSTANTS
            _check(known, where, f"{node.op} reads {source.op} before it is computed")
        if node.op.kind == "map":  # a reduction is complete only after its loop
            inside.add(node)


# --- memory plans


def verify_memory_plan(plan: MemoryPlan) -> None:
    """Raise PlanError unless every value has a place of its own within a buffer, until its last read."""
    _verify_places(plan)
    _verify_reads(plan)
    _verify_spans(plan)
    _verify_in_place(plan)
    _verify_groups(plan)


def _verify_places(plan: MemoryPlan) -> None:
    taken: dict[tuple[int, int], Node] = {}
    for node, place in plan.places.items():
        where = f"the place of {node.op}"
        _check(0 <= place.buffer < len(plan.buffers), where, f"there is no buffer {place.buffer}")
        widths, column = plan.buffers[place.buffer].widths, len(place.before)
        fits = widths[: column + 1] == (*place.before, extent(node))
        _check(fits, where, f"it is not within a row of buffer {place.buffer}")
        other = taken.setdefault((place.buffer, column), node)
        _check(other is node, where, f"{other.op} stands there too")


def _verify_reads(plan: MemoryPlan) -> None:
    """Check that every value that is read from memory is stored there."""
    schedule = plan.schedule
    loops = {node for _, _, stage in _numbered(schedule) if isinstance(stage, FusedLoop) for node in stage.nodes}
    written = {node for node in loops if node.op.kind != "reduction"}
    stored = {*plan.places, *schedule.taped}
    for where, _, stage in _numbered(schedule):
        for node in stage.reads:
            _check(node in stored or node.op in CONSTANTS, where, f"it reads {node.op}, which is not stored")
    for index, node in enumerate(schedule.results):
        present = node in written if index in plan.direct else node in plan.places
        _check(present, f"result {index}", f"{node.op} is not stored")
    for index, node in enumerate(schedule.kept):
        _check(node in stored, f"kept value {index}", f"{node.op} is not stored")
    for index, carried in enumerate(schedule.carried):
        present = carried.following in (written if carried in plan.in_place else plan.places)
        _check(present, f"carried value {index}", f"{carried.following.op} is not stored")
        _check(carried.leaf in plan.places, f"carried value {index}", "it has no place")


def _verify_spans(plan: MemoryPlan) -> None:
    """Check that a value that is read after its step has a row for every step, which no later step writes over."""
    schedule = plan.schedule
    lasting = {*schedule.kept, *(node for index, node in enumerate(schedule.results) if index not in plan.direct)}
    lasting.update(node for stage in schedule.regions["after"] for node in stage.reads)
    leaves = {c.leaf for c in schedule.carried}
    for node, place in plan.places.items():
        span, where = plan.buffers[place.buffer].span, f"the buffer of {node.op}"
        if node in leaves:
            wanted = ("history",) if schedule.history or node in lasting else ("step", "history")
        elif schedule.region_of.get(node) == "loop" and node not in lasting:
            wanted = ("step", "call")
        else:
            wanted = ("call",)
        _check(span in wanted, where, f"it lasts for one {span}, and must for one {wanted[0]}")


def _verify_in_place(plan: MemoryPlan) -> None:
    """Check that no stage reads an old value after its new value was written over it."""
    schedule = plan.schedule
    for carried in () if schedule.history else plan.in_place:
        written = False
        for where, _, stage in _numbered(schedule):
            stale = written and carried.leaf in stage.reads
            _check(not stale, where, f"it reads {carried.leaf.op} after its new value was written over it")
            written = written or carried.following in stage.nodes


def _verify_groups(plan: MemoryPlan) -> None:
    """Check that the results of a group of products stand one after the other."""
    groups = [stage for _, _, stage in _numbered(plan.schedule) if isinstance(stage, ProductGroup)]
    _check(plan.groups == groups, "groups of products", "they are not those of the schedule")
    for number, group in enumerate(groups):
        places = [plan.places[node] for node in group.nodes if node in plan.places]
        columns = [(place.buffer, len(place.before)) for place in places]
        together = columns == [(places[0].buffer, index) for index in range(len(group.nodes))] if places else False
        _check(together, f"group {number}", "its results do not stand one after the other")


# --- slots

_READ = re.compile(r"read_int\(d \+ (\d+)\)")
"""How the text of a kernel reads its descriptor."""


def verify_slots(plan: MemoryPlan, text: str) -> None:
    """Raise PlanError unless each slot has its own position, which the kernel's text reads, and names what exists."""
    expected = list(range(len(DESCRIPTOR_HEAD), len(DESCRIPTOR_HEAD) + len(plan.numbers)))
    _check(sorted(plan.numbers.values()) == expected, "the descriptor", "two slots share a position, or one has none")
    read = {int(offset) // 8 for offset in _READ.findall(text)}
    _check(
        read == {*range(len(DESCRIPTOR_HEAD)), *expected},
        "the descriptor",
        "the text reads other positions than it has",
    )
    schedule = plan.schedule
    nodes = (*schedule.step.params, *schedule.step.inputs, *(s.previous for s in schedule.step.states))
    flat = {node.name for node in schedule.step.params if len(node.shape) < 2}
    known: dict[str, set[int | str]] = {
        "size": {name for node in nodes for name in node.shape},
        "input": {*range(len(schedule.inputs))},
        "result": {*range(len(schedule.results))},
        "carry": {0} if schedule.carried else set(),
        "group": {*range(len(plan.groups))},
        "vector": {*flat},
        "tape": {*range(len(schedule.taped))},
        "buffer": {*range(len(plan.buffers))},
        "pairs": {*range(len(plan.pairs))},
        "grad": {node.name for node in schedule.step.params} if schedule.backward else set(),
        "sums": {*flat} if schedule.backward else set(),
    }
    for kind, index in plan.numbers:
        _check(index in known[kind.partition("_")[0]], f"slot {kind} {index}", "the kernel has nothing of that name")
    for index in range(len(plan.buffers)):
        _check(("buffer", index) in plan.numbers, f"buffer {index}", "it has no slot")
