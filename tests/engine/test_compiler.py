"""The passes in order: what a broken one makes is found at once, by its name, for any cell."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cellar.engine import Cell, build_cell, compiler
from cellar.engine.codegen.kernel_source import write_kernel
from cellar.engine.frontend.lowering import lower
from cellar.engine.ir.graph import Node
from cellar.engine.ir.ops import Op
from cellar.engine.ir.verify import GraphError
from cellar.engine.passes.autodiff import gradient
from cellar.engine.passes.memory_plan import plan_memory
from cellar.engine.passes.plan_verifier import PlanError
from cellar.engine.passes.schedule import forward_schedule
from cellar.engine.passes.simplify import simplify

TEXT = "h = tanh(W @ x + U @ h + b)"
SIZES = {"in": 3, "hidden": 4}


def broken_lower(*arguments: Any) -> Any:
    step = lower(*arguments)
    return replace(step, output=Node(Op.ADD, ("hidden",), (step.output,)))


def broken_simplify(roots: list[Node]) -> dict[Node, Node]:
    return {node: replace(new, shape=("in",)) for node, new in simplify(roots).items()}


def broken_gradient(step: Any) -> Any:
    adjoint = gradient(step)
    return replace(adjoint, inputs=(replace(adjoint.inputs[0], sources=()),))


def broken_schedule(*arguments: Any) -> Any:
    schedule = forward_schedule(*arguments)
    return replace(schedule, regions=schedule.regions | {"before": ()})


def broken_memory(schedule: Any) -> Any:
    plan = plan_memory(schedule)
    plan.groups.reverse()
    return plan


def broken_source(*arguments: Any, **options: Any) -> Any:
    kernel = write_kernel(*arguments, **options)
    kernel.memory_plan.numbers.popitem()
    return kernel


PASSES: dict[str, tuple[Callable[..., Any], type[AssertionError], str]] = {
    "lower": (broken_lower, GraphError, r"node \d+ after lower: add has 1 sources"),
    "simplify": (broken_simplify, GraphError, r"node \d+ after simplify: "),
    "gradient": (broken_gradient, GraphError, r"node \d+ after gradient: product_t has 0 sources"),
    "forward_schedule": (broken_schedule, PlanError, r"stage \d \(loop\): add reads product before it is computed"),
    "plan_memory": (broken_memory, PlanError, "groups of products: they are not those of the schedule"),
    "write_kernel": (broken_source, PlanError, "the descriptor: the text reads other positions than it has"),
}


def compiled(cell: Cell) -> None:
    """Run all passes."""
    cell.forward_kernel(save=True)
    cell.backward_kernel()


@pytest.mark.parametrize("name", PASSES)
def test_a_broken_pass_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(build_cell(TEXT, SIZES))
    broken, error, said = PASSES[name]
    monkeypatch.setattr(compiler, name, broken)
    with pytest.raises(error, match=said):
        compiled(build_cell(TEXT, SIZES))
