"""The order of a kernel: what leaves the time loop, what shares an operand, what is kept for the adjoint."""

import pytest

from cellar.cells import BUILT_IN
from cellar.engine import Cell, build_cell
from cellar.engine.ir.graph import Node
from cellar.engine.passes.schedule import (
    CONSTANTS,
    FusedLoop,
    KernelSchedule,
    ProductGroup,
    backward_schedule,
    forward_schedule,
    tape,
)
from tests.engine.texts import CELLS

SIZES = {"in": 3, "hidden": 5, "proj": 2}
TEXTS = CELLS | {name: spec.text() for name, spec in BUILT_IN.items()}


def products(schedule: KernelSchedule) -> list[tuple[str, list[str]]]:
    """Return the region and the matrices of every product."""
    return [
        (region, [node.sources[0].name for node in stage.nodes])
        for region, stage in schedule.stages
        if isinstance(stage, ProductGroup)
    ]


def plans(cell: Cell) -> list[KernelSchedule]:
    """Return the plans of a cell's three kernels."""
    return [
        forward_schedule(cell.step),
        forward_schedule(cell.step, cell.adjoint),
        backward_schedule(cell.step, cell.adjoint),
    ]


def test_products_of_the_input_leave_the_loop_and_gates_share_an_operand() -> None:
    schedule = forward_schedule(build_cell(BUILT_IN["lstm"].text(), SIZES).step)
    gates = ["_f", "_i", "_g", "_o"]  # as the first state, c, needs them
    assert products(schedule) == [("before", [f"Wi{g}" for g in gates]), ("loop", [f"Wh{g}" for g in gates])]
    assert sum(isinstance(stage, FusedLoop) for stage in schedule.regions["loop"]) == 1


def test_a_product_that_only_the_output_needs_comes_after_the_loop() -> None:
    schedule = forward_schedule(build_cell(CELLS["leak"], {"in": 3}).step)
    assert products(schedule) == [("after", ["W"])]
    assert schedule.history
    assert not forward_schedule(build_cell(CELLS["flux"], SIZES).step).history


def test_the_adjoint_of_the_inputs_comes_after_the_loop() -> None:
    cell = build_cell(BUILT_IN["gru"].text(), SIZES)
    schedule = backward_schedule(cell.step, cell.adjoint)
    assert {name for region, names in products(schedule) for name in names if region == "after"} == {
        "Wi_r",
        "Wi_z",
        "Wi_n",
    }


@pytest.mark.parametrize("name", TEXTS)
def test_every_value_is_computed_once_and_after_what_it_reads(name: str) -> None:
    for schedule in plans(build_cell(TEXTS[name], SIZES)):
        done: set[Node] = {*schedule.inputs, *schedule.taped, *(c.leaf for c in schedule.carried)}
        for _, stage in schedule.stages:
            inside: set[Node] = set()
            for node in stage.nodes:
                assert node not in done | inside
                assert all(source in done | inside or source.op in CONSTANTS for source in node.sources)
                if node.op.kind == "map":  # a fold is complete, and a product stored, only after its stage
                    inside.add(node)
            done.update(stage.nodes)
        assert {*(c.following for c in schedule.carried), *schedule.results, *schedule.kept} <= done


def test_the_tape_holds_what_the_adjoint_reads_and_no_more() -> None:
    cell = build_cell(CELLS["flux"], SIZES)
    assert [node.op.name for node in tape(cell.step, cell.adjoint)] == ["input", "state", "tanh"]
