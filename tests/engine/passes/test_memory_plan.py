"""Memory plans: every address that a kernel reads or writes lies within its buffer, and holds what is read."""

from dataclasses import replace

import pytest

from cellar.cells import BUILT_IN
from cellar.engine import Cell, build_cell
from cellar.engine.codegen.kernel_source import KernelText, write_kernel
from cellar.engine.passes.memory_plan import MemoryPlan, plan_memory
from cellar.engine.passes.schedule import backward_schedule, forward_schedule
from tests.engine.codegen.memory_checker import AccessError, check
from tests.engine.texts import CELLS

SIZES = {"in": 19, "hidden": 37, "proj": 2, "low": 2}
TEXTS = CELLS | {name: spec.text() for name, spec in BUILT_IN.items()}


def kernels(cell: Cell) -> list[KernelText]:
    """Return the three kernels of a cell."""
    return [cell.forward_kernel(save=False), cell.forward_kernel(save=True), cell.backward_kernel()]


@pytest.mark.parametrize("name", TEXTS)
def test_every_address_is_within_its_buffer_and_was_written(name: str) -> None:
    cell = build_cell(TEXTS[name], SIZES)
    check(cell, kernels(cell), [(1, 1), (3, 2)])


@pytest.mark.parametrize("name", ["leak", "two_biases"])
def test_more_rows_than_the_gradients_of_parameters_pack_at_a_time(name: str) -> None:
    cell = build_cell(TEXTS[name], SIZES)
    check(cell, kernels(cell), [(2, 70)])


def corrupted(cell: Cell, kernel: int, buffer: int) -> list[KernelText]:
    """Return the kernels of a cell, one with a buffer that has room for a step where it had it for a call."""
    step, adjoint = cell.step, cell.adjoint
    schedules = [forward_schedule(step), forward_schedule(step, adjoint), backward_schedule(step, adjoint)]
    plans: list[MemoryPlan] = [plan_memory(schedule) for schedule in schedules]
    assert plans[kernel].buffers[buffer].span == "call"
    plans[kernel].buffers[buffer] = replace(plans[kernel].buffers[buffer], span="step")
    return [write_kernel(s, plan, flushes=True) for s, plan in zip(schedules, plans, strict=True)]


@pytest.mark.parametrize(("kernel", "buffer"), [(0, 0), (1, 0)])
def test_a_buffer_that_is_too_short_is_found(kernel: int, buffer: int) -> None:
    cell = build_cell(TEXTS["lstm"], SIZES)
    with pytest.raises(AccessError, match=f"buffer {buffer}"):
        check(cell, corrupted(cell, kernel, buffer), [(3, 2)])
