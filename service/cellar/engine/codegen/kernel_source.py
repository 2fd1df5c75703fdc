"""Writes the source text of a kernel: Python for Numba that calls the functions of `kernel_library`.

No name of the user's cell reaches the text: values are numbered in the order of the schedule. The text depends on the
structure of a cell alone, so cells that differ in names or sizes share a kernel.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from cellar.engine.codegen.fused_loops import FusedLoopWriter
from cellar.engine.codegen.parameter_gradients import ParameterGradientWriter
from cellar.engine.codegen.prologue_epilogue import PrologueEpilogueWriter
from cellar.engine.codegen.shared_functions import SharedFunctions
from cellar.engine.ir.graph import Node, toposort
from cellar.engine.passes.memory_plan import DESCRIPTOR_HEAD, MemoryPlan, extent
from cellar.engine.passes.schedule import (
    FusedLoop,
    KernelSchedule,
    ProductGroup,
    Region,
    Stage,
)

IMPORTS = """\
from numba import cfunc, njit, types
from numpy import float32, inf, nan

from cellar.engine.kernel_library.elementary_functions import *
from cellar.engine.kernel_library.memory_intrinsics import *
from cellar.engine.kernel_library.row_copy import *
from cellar.engine.kernel_library.reductions import *
from cellar.engine.kernel_library.simd import *
"""

KERNEL_ENTRY = "cellar_kernel"
"""The name of the function that a kernel text defines."""

MOST_LOOPS = 6
"""The most fused loops that a kernel has in one function. An LSTM has two, its adjoint four."""

PADDED_ROWS = 64
"""Rows of a product whose results are padded at a time, while they are still in the second-level cache."""


@dataclass(frozen=True)
class KernelText:
    """The text of a kernel, and the memory plan that its caller must follow."""

    text: str
    memory_plan: MemoryPlan


def write_kernel(schedule: KernelSchedule, memory_plan: MemoryPlan, *, flushes: bool) -> KernelText:
    """Return the text of the kernel of a schedule; the memory plan gets the slots that the text reads."""
    return _KernelWriter(schedule, memory_plan, flushes=flushes).kernel()


class _KernelWriter(FusedLoopWriter, ParameterGradientWriter, PrologueEpilogueWriter):
    """Writes the kernel of a schedule, part by part."""

    def __init__(self, schedule: KernelSchedule, memory_plan: MemoryPlan, *, flushes: bool) -> None:
        super().__init__(schedule, memory_plan, flushes=flushes)
        self.shared = SharedFunctions()

    # --- the kernel

    def kernel(self) -> KernelText:
        """Return the text of the kernel."""
        with self.block("if not keeps_subnormals(subnormal_probe):"):
            self.write("return 1")
        self.write("faults = False")
        self.load_carried()
        self.load_inputs()
        self.region("before")
        if self.schedule.backward and self.factors():
            self.begin_gradients()
        if self.schedule.carried:
            begun = len(self.lines)
            with self.block(
                "for u in range(steps - 1, -1, -1):" if self.schedule.backward else "for u in range(steps):"
            ):
                self.region("loop")
                self.advance_carried()
                if self.gradients_in_loop():
                    with self.if_param_gradients():
                        self.add_gradients("(steps - u) * rows", "u == 0")
            if len(self.lines) == begun + 1:  # nothing is read from one step to the next
                self.lines.pop()
        self.region("after")
        self.store_results()
        self.store_carried()
        # If the sums are made in the loop, those of matrices are complete after it.
        if self.schedule.backward and self.factors() and (self.adjoint.params or not self.gradients_in_loop()):
            with self.if_param_gradients():
                if not self.gradients_in_loop():
                    self.add_gradients("steps * rows", "True")
                self.end_gradients()
        self.write("return 2 if faults else 0")
        return KernelText("\n".join([IMPORTS, "", *self.shared.lines, *self.head(), *self.lines, ""]), self.memory_plan)

    def head(self) -> list[str]:
        """Return the lines that read the descriptor."""
        lines = ["@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')", f"def {KERNEL_ENTRY}(d):"]
        lines += [f"    {name} = read_int(d + {8 * index})" for index, name in enumerate(DESCRIPTOR_HEAD)]
        for name, index in self.order.items():
            lines.append(f"    s{index} = read_int(d + {8 * self.memory_plan.number(('size', name))})")
            lines.append(f"    w{index} = (s{index} + 15) // 16 * 64")
        for number, buffer in enumerate(self.memory_plan.buffers):
            if len(buffer.widths) > 1:
                lines.append(f"    g{number} = {' + '.join(self.width(name) for name in buffer.widths)}")
        lines += [
            f"    d{number} = read_int(d + {8 * number})"
            for (kind, _), number in self.memory_plan.numbers.items()
            if kind != "size"
        ]
        return lines

    # --- stages

    def region(self, region: Region) -> None:
        """Write the stages of a region in order; neighbours with the same condition share it."""
        for condition, stages in groupby(self.schedule.regions[region], self.condition):
            with self.block(f"if {condition}:") if condition else nullcontext():
                for stage in stages:
                    self.stage(stage, loop=region == "loop")

    def stage(self, stage: Stage, *, loop: bool) -> None:
        """Write a stage."""
        if isinstance(stage, ProductGroup):
            self.product_group(stage, loop=loop)
        elif self.is_large:
            self.write_shared(stage, loop=loop)
        else:
            self.fused_loop(stage, loop=loop)

    @cached_property
    def is_large(self) -> bool:
        """Whether the kernel has more than MOST_LOOPS loops, so that each becomes a function."""
        return sum(isinstance(stage, FusedLoop) for _, stage in self.schedule.stages) > MOST_LOOPS

    def write_shared(self, stage: FusedLoop, *, loop: bool) -> None:
        """Write a fused loop as a shared function, and its call."""
        (lines, self.lines), (depth, self.depth) = (self.lines, []), (self.depth, 1)
        self.fused_loop(stage, loop=loop)
        (lines, self.lines), self.depth = (self.lines, lines), depth
        self.write(self.shared.call(lines))

    def condition(self, stage: Stage) -> str:
        """Return the condition of a stage of the adjoint that only some of the results need, "" for any other stage."""
        if not self.schedule.backward or not self.always_needed.isdisjoint(stage.nodes):
            return ""
        users = [index for index, below in enumerate(self.result_dependencies) if not below.isdisjoint(stage.nodes)]
        return f"grad_mask & {sum(1 << index for index in users)} != 0"

    @cached_property
    def always_needed(self) -> set[Node]:
        """All nodes that the carried and the kept values depend on."""
        return set(toposort([*(c.following for c in self.schedule.carried), *self.schedule.kept]))

    @cached_property
    def result_dependencies(self) -> list[set[Node]]:
        """For each result all nodes that it depends on."""
        return [set(toposort([node])) for node in self.schedule.results]

    def product_group(self, stage: ProductGroup, *, loop: bool) -> None:
        """Write the call of the product of a group of matrices.

        Its results are dense. If the sizes are no multiples of sixteen they are moved apart to padded rows.
        """
        matrix = stage.nodes[0].sources[0]
        length = self.size(matrix.shape[0] if stage.transposed else matrix.shape[1])
        panels = self.slot("group", self.memory_plan.groups.index(stage))
        base, stride, before = self.place(stage.operand)
        out, out_stride, _ = self.place(stage.nodes[0])
        source = f"{base}{before}{self.first_row(stage.operand, stride, loop=loop)}"
        target = f"{out}{self.first_row(stage.nodes[0], out_stride, loop=loop)}"
        rows = "rows" if loop else "steps * rows"
        sizes = [self.size(extent(node)) for node in stage.nodes]
        widths = [self.width(extent(node)) for node in stage.nodes]
        dense = [f"4 * ({' + '.join(['0', *sizes[:index]])})" for index in range(len(sizes) + 1)]
        places = [" + ".join(["0", *widths[:index]]) for index in range(len(widths))]

        def call(source: str, target: str, rows: str) -> None:
            """Write one call of the matrix product."""
            self.write(
                f"call_product(product, {source}, {stride}, 4, {panels}, {target}, {out_stride}, {length},"
                f" ({dense[-1]} + 63) // 64, {rows}, 0, product_float32)"
            )

        if len(sizes) == 1:
            call(source, target, rows)
            return
        with self.block(f"if {dense[-2]} == {places[-1]}:"):
            call(source, target, rows)
        with self.block("else:"), self.block(f"for done in range(0, {rows}, {PADDED_ROWS}):"):
            self.write(f"target = {target} + done * {out_stride}")
            self.write(f"count = min({PADDED_ROWS}, {rows} - done)")
            call(f"{source} + done * {stride}", "target", "count")
            with self.block("for b in range(count):"):
                self.write(f"row = target + b * {out_stride}")
                for begin, place, size in reversed(list(zip(dense, places, sizes, strict=False))):
                    self.write(f"pad_row(row + {begin}, row + {place}, {size})")
