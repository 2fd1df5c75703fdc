"""The compiler on one page: every pass from the equations of a cell to the text of its kernels, in order.

    equations   parse -> resolve -> infer        syntax tree, the role of each name, its shape
                lower                            a graph with shapes: the step
    step        simplify                         equal nodes shared, constants folded
    adjoint     gradient -> simplify             the step's gradient as a graph, where it is needed
    kernel      schedule -> plan_memory          loops in order, and where every value stands
                write_kernel                     the source text, which `backend` compiles to machine code

The result of every pass is verified, for built-in cells and for those of users alike: a graph by `ir.verify`, a
schedule and a memory plan by `passes.plan_verifier`. A broken result is a defect of the compiler and raises GraphError
or PlanError with the pass's name; what is wrong with a user's text has been refused before, by the first three passes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cellar.engine.codegen.kernel_source import KernelText, write_kernel
from cellar.engine.frontend.lexer import Source
from cellar.engine.frontend.lowering import lower
from cellar.engine.frontend.name_resolution import resolve
from cellar.engine.frontend.parser import parse
from cellar.engine.frontend.shape_inference import infer
from cellar.engine.ir.graph import Node, Step
from cellar.engine.ir.verify import verify
from cellar.engine.passes.autodiff import Adjoint, gradient
from cellar.engine.passes.memory_plan import plan_memory
from cellar.engine.passes.plan_verifier import verify_memory_plan, verify_schedule, verify_slots
from cellar.engine.passes.schedule import KernelSchedule, backward_schedule, forward_schedule
from cellar.engine.passes.simplify import simplify
from cellar.errors import CellNameError


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """A step as a graph, the numbers behind its size names, and how many operators and calls its text has."""

    step: Step
    sizes: Mapping[str, int]
    operations: int


def compile_step(text: str, sizes: Mapping[str, int], inputs: tuple[str, ...]) -> CompiledStep:
    """Return the graph of a cell's equations. Raise CellError, with line and column."""
    source = Source(text)
    program = parse(source)
    roles = resolve(program, source, inputs)
    for needed in ("in", *inputs[1:]):
        if needed not in sizes:
            raise CellNameError(f"the size {needed!r} is not given", expected=needed)
    inferred = infer(program, roles, source, sizes)
    lowered = lower(program, roles, inferred.shapes)
    verify(lowered.roots, after="lower")
    step = lowered.mapped(_simplified(lowered.roots))
    return CompiledStep(step, inferred.sizes, program.operations)


def compile_adjoint(step: Step) -> Adjoint:
    """Return the gradient of a step, simplified together with the step, whose nodes it shares."""
    raw = gradient(step)
    roots = [*step.roots, *raw.cotangents.values(), *raw.roots]
    verify(roots, after="gradient")
    return raw.mapped(_simplified(roots))


def compile_forward(step: Step, adjoint: Adjoint | None, *, flushes: bool) -> KernelText:
    """Return the kernel of a step; with an adjoint it leaves a tape for the backward kernel."""
    return _compile_kernel(forward_schedule(step, adjoint), flushes=flushes)


def compile_backward(step: Step, adjoint: Adjoint, *, flushes: bool) -> KernelText:
    """Return the kernel of the adjoint of a step, which also sums the gradients of the parameters."""
    return _compile_kernel(backward_schedule(step, adjoint), flushes=flushes)


def _compile_kernel(schedule: KernelSchedule, *, flushes: bool) -> KernelText:
    verify_schedule(schedule)
    memory_plan = plan_memory(schedule)
    verify_memory_plan(memory_plan)
    kernel = write_kernel(schedule, memory_plan, flushes=flushes)
    verify_slots(kernel.memory_plan, kernel.text)
    return kernel


def _simplified(roots: Iterable[Node]) -> dict[Node, Node]:
    """Return the node that replaces each node after `simplify`."""
    roots = list(roots)
    new = simplify(roots)
    verify((new[root] for root in roots), after="simplify")
    return new
