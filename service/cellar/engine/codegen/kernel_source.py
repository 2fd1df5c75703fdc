"""Writes the source text of a kernel: Python for Numba that calls the functions of `kernel_library`.

No name of the user's cell reaches the text: values are numbered in the order of the schedule. The text depends on the
structure of a cell alone, so cells that differ in names or sizes share a kernel.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal

from cellar.engine.cell import Cell
from cellar.engine.codegen.memory_plan import HEAD, PAIRS, PARAM_GRADIENTS, MemoryPlan, Slot, extent
from cellar.engine.codegen.prologue_epilogue import OUTPUT_FAULT, STATE_FAULT, PrologueEpilogueWriter
from cellar.engine.codegen.schedule import (
    FusedLoop,
    ProductGroup,
    Region,
    Schedule,
    Stage,
    backward_schedule,
    forward_schedule,
)
from cellar.engine.codegen.shared_functions import SharedFunctions
from cellar.engine.ir.graph import Node, toposort
from cellar.engine.ir.ops import Op

IMPORTS = """\
from numba import cfunc, njit, types
from numpy import float32, inf, nan

from cellar.engine.kernel_library.elementary_functions import *
from cellar.engine.kernel_library.memory_intrinsics import *
from cellar.engine.kernel_library.row_copy import *
from cellar.engine.kernel_library.reductions import *
from cellar.engine.kernel_library.simd import *
"""

ENTRY = "cellar_kernel"
"""The name of the function that a kernel text defines."""

MOST_LOOPS = 6
"""Loops of fused stages that a kernel has in one function. An LSTM has two, its adjoint four."""

PADDED_ROWS = 64
"""Rows of a product whose results are moved apart at a time: they are still in the second-level cache."""


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a value of a fused loop goes: an address, and how many floats the caller's or next step's row has."""

    node: Node
    kind: Literal["buffer", "carried", "result"]
    target: str
    size: str
    fault: int = 0
    """The kind of fault that a number here which is not finite means; 0 for none."""


@dataclass(frozen=True)
class KernelText:
    """A kernel's text and the layout that its caller must follow."""

    text: str
    memory_plan: MemoryPlan


def forward_text(cell: Cell, *, save: bool) -> KernelText:
    """Return the kernel that runs a cell forward; with `save` it leaves a tape for the backward kernel."""
    return _Writer(cell, forward_schedule(cell, save=save)).kernel()


def backward_text(cell: Cell) -> KernelText:
    """Return the kernel that runs the adjoint of a cell and sums the gradients of its parameters."""
    return _Writer(cell, backward_schedule(cell)).kernel()


class _Writer(PrologueEpilogueWriter):
    """Writes the kernel of a schedule, part by part."""

    def __init__(self, cell: Cell, schedule: Schedule) -> None:
        super().__init__(cell, schedule)
        self.shared = SharedFunctions()

    # --- the kernel

    def kernel(self) -> KernelText:
        """Return the whole text."""
        with self.block("if not keeps_subnormals(probe):"):
            self.write("return 1")
        self.write("faults = False")
        self.load_carried()
        self.load_inputs()
        self.region("before")
        if self.schedule.backward and self.factors():
            self.begin_gradients()
        if self.schedule.carried:
            with self.block(
                "for u in range(steps - 1, -1, -1):" if self.schedule.backward else "for u in range(steps):"
            ):
                self.region("loop")
                self.advance_carried()
                if self.gradients_in_loop():
                    with self.if_param_gradients():
                        self.add_gradients("(steps - u) * rows", "u == 0")
        self.region("after")
        self.store_results()
        self.store_carried()
        # Sums that were made in the loop leave matrices nothing to end with.
        if self.schedule.backward and self.factors() and (self.cell.adjoint.params or not self.gradients_in_loop()):
            with self.if_param_gradients():
                if not self.gradients_in_loop():
                    self.add_gradients("steps * rows", "True")
                self.end_gradients()
        self.write("return 2 if faults else 0")
        return KernelText("\n".join([IMPORTS, "", *self.shared.lines, *self.head(), *self.lines, ""]), self.memory_plan)

    def head(self) -> list[str]:
        """Return the lines that read the descriptor."""
        lines = ["@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')", f"def {ENTRY}(d):"]
        lines += [f"    {name} = read_int(d + {8 * index})" for index, name in enumerate(HEAD)]
        for name, index in self.order.items():
            lines.append(f"    s{index} = read_int(d + {8 * self.memory_plan.number(Slot('size', name))})")
            lines.append(f"    w{index} = (s{index} + 15) // 16 * 64")
        for number, buffer in enumerate(self.memory_plan.buffers):
            if len(buffer.widths) > 1:
                lines.append(f"    g{number} = {' + '.join(self.width(name) for name in buffer.widths)}")
        for slot in self.memory_plan.slots:
            number = self.memory_plan.number(slot)
            if slot.kind != "size":
                lines.append(f"    d{number} = read_int(d + {8 * number})")
        return lines

    # --- stages

    def region(self, region: Region) -> None:
        """Write the stages of a region in order; neighbours that the same results need share a condition."""
        for condition, stages in groupby(self.schedule.regions[region], self.condition):
            with self.block(f"if {condition}:") if condition else nullcontext():
                for stage in stages:
                    self.stage(stage, loop=region == "loop")

    def stage(self, stage: Stage, *, loop: bool) -> None:
        """Write a stage."""
        if isinstance(stage, ProductGroup):
            self.products(stage, loop=loop)
        elif self.is_large:
            self.write_shared(stage, loop=loop)
        else:
            self.maps(stage, loop=loop)

    @cached_property
    def is_large(self) -> bool:
        """Whether the kernel has so many loops that each becomes a function."""
        return sum(isinstance(stage, FusedLoop) for _, stage in self.schedule.stages) > MOST_LOOPS

    def write_shared(self, stage: FusedLoop, *, loop: bool) -> None:
        """Write the call of a function that does what `maps` writes."""
        (lines, self.lines), (depth, self.depth) = (self.lines, []), (self.depth, 1)
        self.maps(stage, loop=loop)
        (lines, self.lines), self.depth = (self.lines, lines), depth
        self.write(self.shared.call(lines))

    def condition(self, stage: Stage) -> str:
        """Return the condition of a stage of the adjoint that only some of the results need, "" of any other."""
        if not self.schedule.backward or not self.needed.isdisjoint(stage.nodes):
            return ""
        users = [index for index, below in enumerate(self.below_results) if not below.isdisjoint(stage.nodes)]
        return f"grad_mask & {sum(1 << index for index in users)} != 0"

    @cached_property
    def needed(self) -> set[Node]:
        """What the carried values and the kept ones are computed from."""
        return set(toposort([*(c.following for c in self.schedule.carried), *self.schedule.kept]))

    @cached_property
    def below_results(self) -> list[set[Node]]:
        """What each result is computed from."""
        return [set(toposort([node])) for node in self.schedule.results]

    def products(self, stage: ProductGroup, *, loop: bool) -> None:
        """Write the call of `product` for a group of matrices.

        Their panels are dense, and so are the results: where sizes are no multiples of sixteen these are moved apart.
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
            self.write(
                f"call_product(product, {source}, {stride}, 4, {panels}, {target}, {out_stride}, {length},"
                f" ({dense[-1]} + 63) // 64, {rows}, 0, plain)"
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

    def maps(self, stage: FusedLoop, *, loop: bool) -> None:
        """Write the loop of a fused stage: loads, elementwise work, reductions, stores."""
        names: dict[Node, str] = {}
        reductions = [node for node in stage.nodes if node.op.kind == "reduction"]
        destinations = self.destinations(stage)
        with self.active_rows(loop=loop):
            reads = [node for node in stage.reads if node.op not in (Op.CONST, Op.LENGTH)]
            for index, node in enumerate(reads):
                self.write(f"r{index} = {self.address(node)}")
            for index, destination in enumerate(destinations):
                self.write(f"o{index} = {destination.target}")
            for index, node in enumerate(reductions):
                self.write(f"f{index} = {node.op.identity}")
            for kind in self.checked(destinations):
                self.write(f"e{kind} = zero()")
            with self.block(f"for j in range(0, {self.width(stage.extent)}, 64):"):
                for index, node in enumerate(reads):
                    names[node] = f"a{index}"
                    self.write(f"a{index} = load(r{index}{' + j' if node.shape else ''})")
                for index, node in enumerate(stage.nodes):
                    if node not in reductions:
                        names[node] = f"v{index}"
                        self.write(f"v{index} = {self.expression(node, names)}")
                for index, node in enumerate(reductions):
                    self.reduce(f"f{index}", node, names)
                for index, destination in enumerate(destinations):
                    self.store_block(f"o{index} + j", destination, names[destination.node])
            for index, node in enumerate(reductions):
                self.write(f"store({self.address(node)}, {node.op.kernel}(f{index}))")
            for kind in self.checked(destinations):
                self.record_fault(f"not all_finite(e{kind}, first(16))", kind)

    def destinations(self, stage: FusedLoop) -> list["_Destination"]:
        """Return where the values of a stage go: buffers, the next step's carried values, the caller's arrays."""
        found = []
        in_place = {c.following for c in self.memory_plan.in_place}
        results = {self.schedule.results[index] for index in self.memory_plan.direct}
        write = "row" if self.schedule.backward else "(row + rows)"
        for node in stage.nodes:
            size = self.size(node.shape[0]) if node.shape else "1"
            if node in self.memory_plan.places and node.op.kind != "reduction":
                found.append(_Destination(node, "buffer", self.address(node), size))
            for carried in self.memory_plan.in_place if node in in_place else ():
                if carried.following is node:
                    base, stride, _ = self.place(carried.leaf)
                    row = write if self.is_history(carried.leaf) else "b"
                    fault = 0 if self.schedule.backward else STATE_FAULT
                    found.append(_Destination(node, "carried", f"{base} + {row} * {stride}", size, fault))
            # An output that is a state too is looked at once: the fault of a state goes before that of an output.
            fault = 0 if self.schedule.backward or node in in_place else OUTPUT_FAULT
            found += [
                _Destination(node, "result", self.dense_row("result", index), size, fault)
                for index in (self.memory_plan.direct if node in results else ())
                if self.schedule.results[index] is node
            ]
        return found

    def checked(self, destinations: list["_Destination"]) -> list[int]:
        """Return the kinds of fault that a stage looks for."""
        return sorted({destination.fault for destination in destinations} - {0})

    def store_block(self, target: str, destination: "_Destination", value: str) -> None:
        """Write the store of a block, and the look for numbers that are not finite."""
        left = f"{destination.size} - j // 4"
        if destination.kind == "buffer":
            self.write(f"store({target}, {value})")
            return
        if destination.kind == "carried":
            self.write(f"store({target}, {self.flushed(value)})")
        else:
            self.write(f"store_partial({target}, {value}, {left})")
        if destination.fault:
            self.write(f"e{destination.fault} = accumulate_nonfinite(e{destination.fault}, {value}, {left})")

    def reduce(self, total: str, node: Node, names: dict[Node, str]) -> None:
        """Add one block to a fold; lanes past the end of the vector do not count."""
        source = self.operand(node.sources[0], names)
        rest = f"first({self.size(node.sources[0].shape[0])} - j // 4)"
        self.write(f"{total} = {node.op.combine}({total}, where({rest}, {source}, {node.op.identity}))")

    def expression(self, node: Node, names: dict[Node, str]) -> str:
        """Return the call that computes a node."""
        operands = [self.operand(source, names) for source in node.sources]
        return f"{node.op.kernel}({', '.join(operands)})" if node.op.kernel else operands[0]

    def operand(self, node: Node, names: dict[Node, str]) -> str:
        """Return what a node is called where it is used."""
        if node.op is Op.CONST:
            return f"splat(float32({_literal(node.value)}))"
        if node.op is Op.LENGTH:
            return f"splat(float32({self.size(node.name)}))"
        return names[node]

    # --- gradients of parameters

    def gradients_in_loop(self) -> bool:
        """Return whether the gradients of a step can be summed when it ends, with their factors still in the caches."""
        factors = self.factors() if self.schedule.backward and self.schedule.carried else []
        return bool(factors) and all(self.schedule.at.get(node) != "after" for node in factors)

    def factors(self) -> list[Node]:
        """Return what gradients of parameters are sums of: factors of products, and terms."""
        adjoint = self.cell.adjoint
        pairs = [node for pairs in adjoint.matrices.values() for pair in pairs for node in pair]
        return list(dict.fromkeys([*pairs, *adjoint.params.values()]))

    @contextmanager
    def if_param_gradients(self) -> Iterator[None]:
        """Open the condition of what is done for the gradients of parameters alone."""
        with self.block(f"if grad_mask & {PARAM_GRADIENTS} != 0:"):
            yield

    def begin_gradients(self) -> None:
        """Write what comes before the first sum."""
        self.write("begin = 0")
        if self.cell.adjoint.params:
            with self.if_param_gradients():
                for name, node in self.cell.adjoint.params.items():
                    self.write(f"clear({self.slot('sums', name)}, 16 * {self.width(extent(node))})")

    def add_gradients(self, ready: str, last: str) -> None:
        """Write the sums over pairs of step and row, some packed at a time, of which so many are `ready`.

        Of matrices they are products, a factor's panels by the other's; of vectors and scalars sums in lanes.
        """
        factors = self.factors()
        self.write(f"ready = {ready}")
        with self.block(f"while begin + {PAIRS} <= ready or ({last} and begin < ready):"):
            self.write(f"count = min({PAIRS}, ready - begin)")
            for index, node in enumerate(factors):
                base, stride, before = self.place(node)
                shift = f" + rows * {stride}" if self.is_history(node) else ""
                self.memory_plan.pairs.append(extent(node))
                room = self.slot("pairs", index)
                self.write(
                    f"pack_pairs({base}{before}{shift}, {stride}, rows, steps, begin, count, {room},"
                    f" {self.width(extent(node))})"
                )
            for name, pairs in self.cell.adjoint.matrices.items():
                for g, v in pairs:
                    self.matrix_gradient(name, factors.index(g), factors.index(v))
            for name, node in self.cell.adjoint.params.items():
                terms, width = self.slot("pairs", factors.index(node)), self.width(extent(node))
                self.write(f"lane_sums({terms}, count, {width}, {self.slot('sums', name)})")
            self.write("begin += count")

    def end_gradients(self) -> None:
        """Write what comes after the last sum."""
        for name, node in self.cell.adjoint.params.items():
            sums, out = self.slot("sums", name), self.slot("grad", name)
            self.write(f"lane_total({sums}, {self.width(extent(node))}, {out})")

    def matrix_gradient(self, name: str, left: int, right: int) -> None:
        """Write the product of two packed factors, a panel of rows of the matrix at a time."""
        matrix = next(node for node in self.cell.step.params if node.name == name)
        rows, columns = self.size(matrix.shape[0]), self.width(matrix.shape[1])
        g, v, out = self.slot("pairs", left), self.slot("pairs", right), self.slot("grad", name)
        with self.block(f"for m in range(0, {rows}, 16):"):
            self.write(
                f"call_product(plain, {g} + 4 * m * count, 4, 64, {v}, {out} + m * {columns}, {columns}, count,"
                f" {columns} // 64, min(16, {rows} - m), 1, plain)"
            )


def _literal(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)
