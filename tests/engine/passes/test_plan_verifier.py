"""Schedules and memory plans that no pass may make: each is found, and the error says where."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cellar.cells import BUILT_IN
from cellar.engine import Cell, build_cell
from cellar.engine.codegen.kernel_source import write_kernel
from cellar.engine.ir.graph import Node
from cellar.engine.ir.ops import Op, apply
from cellar.engine.passes.memory_plan import BufferPlace, MemoryPlan, Slot, plan_memory
from cellar.engine.passes.plan_verifier import PlanError, verify_memory_plan, verify_schedule, verify_slots
from cellar.engine.passes.schedule import (
    FusedLoop,
    KernelSchedule,
    ProductGroup,
    Region,
    Stage,
    backward_schedule,
    forward_schedule,
)
from tests.engine.texts import CELLS

SIZES = {"in": 3, "hidden": 5, "proj": 2}
LSTM = build_cell(BUILT_IN["lstm"].text(), SIZES)
LEAK = build_cell(CELLS["leak"], {"in": 3})


def with_region(schedule: KernelSchedule, region: Region, stages: tuple[Stage, ...]) -> KernelSchedule:
    """Return a schedule with other stages in one region."""
    return replace(schedule, regions=schedule.regions | {region: stages})


def loop(schedule: KernelSchedule) -> FusedLoop:
    """Return the fused loop of the time loop."""
    (found,) = (stage for stage in schedule.regions["loop"] if isinstance(stage, FusedLoop))
    return found


def swap(schedule: KernelSchedule) -> KernelSchedule:
    return with_region(schedule, "loop", schedule.regions["loop"][::-1])


def without_first(schedule: KernelSchedule) -> KernelSchedule:
    return with_region(schedule, "before", ())


def twice(schedule: KernelSchedule) -> KernelSchedule:
    return with_region(schedule, "loop", (*schedule.regions["loop"], schedule.regions["loop"][-1]))


def backwards(schedule: KernelSchedule) -> KernelSchedule:
    stage = replace(loop(schedule), nodes=loop(schedule).nodes[::-1])
    return with_region(schedule, "loop", (schedule.regions["loop"][0], stage))


def other_extent(schedule: KernelSchedule) -> KernelSchedule:
    return with_region(schedule, "loop", (schedule.regions["loop"][0], replace(loop(schedule), extent="in")))


def mixed_group(schedule: KernelSchedule) -> KernelSchedule:
    group = schedule.regions["loop"][0]
    assert isinstance(group, ProductGroup)
    wrong = replace(group, operand=schedule.inputs[0])
    return with_region(schedule, "loop", (wrong, *schedule.regions["loop"][1:]))


def early(schedule: KernelSchedule) -> KernelSchedule:
    """Move what reads the state before the time loop."""
    group = schedule.regions["loop"][0]
    moved = schedule.region_of | dict.fromkeys(group.nodes, "before")
    moved_to = with_region(schedule, "before", (*schedule.regions["before"], group))
    return replace(with_region(moved_to, "loop", schedule.regions["loop"][1:]), region_of=moved)


def other_region(schedule: KernelSchedule) -> KernelSchedule:
    return replace(schedule, region_of=schedule.region_of | {loop(schedule).nodes[0]: "after"})


def unknown_result(schedule: KernelSchedule) -> KernelSchedule:
    return replace(schedule, results=(apply(Op.NEG, schedule.results[0]),))


def unknown_kept(schedule: KernelSchedule) -> KernelSchedule:
    return replace(schedule, kept=(apply(Op.NEG, schedule.results[0]),))


def late_state(schedule: KernelSchedule) -> KernelSchedule:
    stage = loop(schedule)
    moved = schedule.region_of | dict.fromkeys(stage.nodes, "after")
    regions = schedule.regions | {"loop": schedule.regions["loop"][:1], "after": (stage,)}
    return replace(schedule, regions=regions, region_of=moved)


SCHEDULES: dict[str, tuple[Callable[[KernelSchedule], KernelSchedule], str]] = {
    "a loop before the product that it reads": (swap, r"stage 1 \(loop\): add reads product before it is computed"),
    "a stage left out": (without_first, r"stage 1 \(loop\): add reads product before"),
    "a stage done twice": (twice, r"stage 3 \(loop\): \w+ is computed twice"),
    "a loop in the wrong order": (backwards, r"stage 2 \(loop\): \w+ reads \w+ before it is computed"),
    "a loop over another size": (other_extent, r"stage 2 \(loop\): add runs over hidden"),
    "products of two operands": (mixed_group, r"stage 1 \(loop\): product is no product with the group's operand"),
    "a product of the state before the loop": (early, r"stage 1 \(before\): the operand state is read before"),
    "a node of another region": (other_region, r"stage 2 \(loop\): \w+ belongs to another region"),
    "a result that nothing computes": (unknown_result, "result 0: neg is never computed"),
    "a kept value that nothing computes": (unknown_kept, "kept value 0: neg is never computed"),
    "a state after the loop": (late_state, "carried value 0: add is not computed before the next step"),
}


@pytest.mark.parametrize("what", SCHEDULES)
def test_broken_schedules(what: str) -> None:
    schedule = forward_schedule(LSTM.step)
    verify_schedule(schedule)
    corrupt, said = SCHEDULES[what]
    with pytest.raises(PlanError, match=said):
        verify_schedule(corrupt(schedule))


def a_product(plan: MemoryPlan) -> Node:
    """Return the second of the products of the time loop."""
    return plan.groups[-1].nodes[1]


def place(plan: MemoryPlan, node: Node, at: BufferPlace) -> None:
    plan.places[node] = at


def give_span(plan: MemoryPlan, node: Node, span: str) -> None:
    number = plan.places[node].buffer
    plan.buffers[number] = replace(plan.buffers[number], span=span)  # type: ignore[arg-type]  # wrong on purpose


PLANS: dict[str, tuple[Cell, Callable[[MemoryPlan], object], str]] = {
    "no such buffer": (
        LSTM,
        lambda p: place(p, a_product(p), BufferPlace(99)),
        "the place of product: there is no buffer 99",
    ),
    "past the end of a row": (
        LSTM,
        lambda p: place(p, a_product(p), BufferPlace(p.places[a_product(p)].buffer, ("hidden",) * 4)),
        r"the place of product: it is not within a row of buffer \d",
    ),
    "two values in one place": (
        LSTM,
        lambda p: place(p, a_product(p), p.places[p.groups[-1].nodes[0]]),
        "the place of product: product stands there too",
    ),
    "an operand that is not stored": (
        LSTM,
        lambda p: p.places.pop(p.schedule.inputs[0]),
        r"stage 0 \(before\): it reads input, which is not stored",
    ),
    "a result that is not stored": (LEAK, lambda p: setattr(p, "direct", ()), "result 0: add is not stored"),
    "a new state that is not stored": (
        LSTM,
        lambda p: setattr(p, "in_place", ()),
        "carried value 0: add is not stored",
    ),
    "room for one step, read after the loop": (
        LEAK,
        lambda p: give_span(p, p.schedule.carried[0].leaf, "step"),
        "the buffer of state: it lasts for one step, and must for one history",
    ),
    "inputs of one step": (
        LSTM,
        lambda p: give_span(p, p.schedule.inputs[0], "step"),
        "the buffer of input: it lasts for one step, and must for one call",
    ),
    "products of all steps in the room of one": (
        LSTM,
        lambda p: give_span(p, p.groups[0].nodes[0], "step"),
        "the buffer of product: it lasts for one step, and must for one call",
    ),
    "a group left out": (LSTM, lambda p: p.groups.pop(), "groups of products: they are not those of the schedule"),
    "results of a group apart": (
        LSTM,
        lambda p: swap_places(p, p.groups[0].nodes[0], p.groups[0].nodes[1]),
        "group 0: its results do not stand one after the other",
    ),
}


def swap_places(plan: MemoryPlan, one: Node, other: Node) -> None:
    plan.places[one], plan.places[other] = plan.places[other], plan.places[one]


@pytest.mark.parametrize("what", PLANS)
def test_broken_memory_plans(what: str) -> None:
    cell, corrupt, said = PLANS[what]
    plan = plan_memory(forward_schedule(cell.step))
    verify_memory_plan(plan)
    corrupt(plan)
    with pytest.raises(PlanError, match=said):
        verify_memory_plan(plan)


def test_a_state_that_is_read_after_it_was_written_over() -> None:
    """A loop reads the state after the one that writes its new value in its place."""
    cell = build_cell("s = tanh(sum(h))\nh = x * s + h\noutput = h * s", {"in": 3, "hidden": 3})
    plan = plan_memory(forward_schedule(cell.step))
    verify_memory_plan(plan)
    schedule = plan.schedule
    last = [stage for _, stage in schedule.stages][-1]
    again = FusedLoop(last.extent, (apply(Op.NEG, schedule.carried[0].leaf),)) if isinstance(last, FusedLoop) else last
    plan.schedule = with_region(schedule, "loop", (*schedule.regions["loop"], again))
    with pytest.raises(PlanError, match="it reads state after its new value was written over it"):
        verify_memory_plan(plan)


def renumber(plan: MemoryPlan) -> None:
    first, second, *_ = plan.numbers
    plan.numbers[first] = plan.numbers[second]


def rename(plan: MemoryPlan, old: Slot, new: Slot) -> None:
    plan.numbers[new] = plan.numbers.pop(old)


SLOTS: dict[str, tuple[Callable[[MemoryPlan], object], str]] = {
    "two slots in one place": (renumber, "the descriptor: two slots share a position, or one has none"),
    "a slot without a position": (lambda p: p.numbers.pop(("buffer", 0)), "the descriptor: two slots share"),
    "no such buffer": (
        lambda p: rename(p, ("buffer", 0), ("buffer", 99)),
        "slot buffer 99: the kernel has nothing of that name",
    ),
    "no such input": (lambda p: rename(p, ("input", 0), ("input", 1)), "slot input 1: the kernel has nothing"),
    "no such parameter": (
        lambda p: rename(p, ("vector", "b_f"), ("vector", "Wi_f")),
        "slot vector Wi_f: the kernel has nothing",
    ),
    "a buffer that no slot names": (
        lambda p: p.buffers.append(p.buffers[0]),
        r"buffer \d: it has no slot",
    ),
}


@pytest.mark.parametrize("what", SLOTS)
def test_broken_descriptors(what: str) -> None:
    schedule = forward_schedule(LSTM.step)
    kernel = write_kernel(schedule, plan_memory(schedule), flushes=True)
    verify_slots(kernel.memory_plan, kernel.text)
    corrupt, said = SLOTS[what]
    corrupt(kernel.memory_plan)
    with pytest.raises(PlanError, match=said):
        verify_slots(kernel.memory_plan, kernel.text)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_has_legal_plans(name: str) -> None:
    cell = build_cell(CELLS[name], SIZES)
    step, adjoint = cell.step, cell.adjoint
    for schedule in (forward_schedule(step), forward_schedule(step, adjoint), backward_schedule(step, adjoint)):
        verify_schedule(schedule)
        plan = plan_memory(schedule)
        verify_memory_plan(plan)
        verify_slots(plan, write_kernel(schedule, plan, flushes=True).text)
