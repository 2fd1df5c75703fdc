"""A plan to the text of its kernel: Python for Numba, on the functions of `vector`, `activations`, `sums` and `rows`.

No name of the user's cell reaches the text: values are numbered in the order of the plan. The text depends on the
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
from cellar.engine.codegen.memory_plan import HEAD, PAIRS, WANT_PARAMS, Layout, Slot, extent
from cellar.engine.codegen.prologue_epilogue import OUTPUT_FAULT, STATE_FAULT, Edges
from cellar.engine.codegen.schedule import Maps, Plan, Products, Region, Stage, backward_plan, forward_plan
from cellar.engine.codegen.shared_functions import SharedFunctions
from cellar.engine.ir.graph import Node, Op, toposort
from cellar.engine.ir.ops import OPS

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

SPREAD_ROWS = 64
"""Rows of a product whose results are moved apart at a time: they are still in the second-level cache."""


@dataclass(frozen=True, slots=True)
class _Landing:
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
    layout: Layout


def forward_text(cell: Cell, *, save: bool) -> KernelText:
    """Return the kernel that runs a cell forward; with `save` it leaves a tape for the backward kernel."""
    return _Writer(cell, forward_plan(cell, save=save)).kernel()


def backward_text(cell: Cell) -> KernelText:
    """Return the kernel that runs the adjoint of a cell and sums the gradients of its parameters."""
    return _Writer(cell, backward_plan(cell)).kernel()


class _Writer(Edges):
    """Writes the kernel of a plan, part by part."""

    def __init__(self, cell: Cell, plan: Plan) -> None:
        super().__init__(cell, plan)
        self.outline = SharedFunctions()

    # --- the kernel

    def kernel(self) -> KernelText:
        """Return the whole text."""
        with self.block("if not keeps_subnormals(probe):"):
            self.put("return 1")
        self.put("faults = False")
        self.enter()
        self.stage_inputs()
        self.region("before")
        if self.plan.backward and self.factors():
            self.begin_gradients()
        if self.plan.carried:
            with self.block("for u in range(steps - 1, -1, -1):" if self.plan.backward else "for u in range(steps):"):
                self.region("loop")
                self.carry()
                if self.gradients_in_loop():
                    with self.params_wanted():
                        self.add_gradients("(steps - u) * rows", "u == 0")
        self.region("after")
        self.copy_results()
        self.leave()
        # Sums that were made in the loop leave matrices nothing to end with.
        if self.plan.backward and self.factors() and (self.cell.adjoint.params or not self.gradients_in_loop()):
            with self.params_wanted():
                if not self.gradients_in_loop():
                    self.add_gradients("steps * rows", "True")
                self.end_gradients()
        self.put("return 2 if faults else 0")
        return KernelText("\n".join([IMPORTS, "", *self.outline.lines, *self.head(), *self.lines, ""]), self.layout)

    def head(self) -> list[str]:
        """Return the lines that read the descriptor."""
        lines = ["@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')", f"def {ENTRY}(d):"]
        lines += [f"    {name} = read_int(d + {8 * index})" for index, name in enumerate(HEAD)]
        for name, index in self.order.items():
            lines.append(f"    s{index} = read_int(d + {8 * self.layout.number(Slot('size', name))})")
            lines.append(f"    w{index} = (s{index} + 15) // 16 * 64")
        for number, buffer in enumerate(self.layout.buffers):
            if len(buffer.widths) > 1:
                lines.append(f"    g{number} = {' + '.join(self.width(name) for name in buffer.widths)}")
        for slot in self.layout.slots:
            number = self.layout.number(slot)
            if slot.kind != "size":
                lines.append(f"    d{number} = read_int(d + {8 * number})")
        return lines

    # --- stages

    def region(self, region: Region) -> None:
        """Write the stages of a region in order; neighbours that the same results need share a condition."""
        for condition, stages in groupby(self.plan.regions[region], self.condition):
            with self.block(f"if {condition}:") if condition else nullcontext():
                for stage in stages:
                    self.stage(stage, loop=region == "loop")

    def stage(self, stage: Stage, *, loop: bool) -> None:
        """Write a stage."""
        if isinstance(stage, Products):
            self.products(stage, loop=loop)
        elif self.is_large:
            self.outlined(stage, loop=loop)
        else:
            self.maps(stage, loop=loop)

    @cached_property
    def is_large(self) -> bool:
        """Whether the kernel has so many loops that each becomes a function."""
        return sum(isinstance(stage, Maps) for _, stage in self.plan.stages) > MOST_LOOPS

    def outlined(self, stage: Maps, *, loop: bool) -> None:
        """Write the call of a function that does what `maps` writes."""
        (lines, self.lines), (depth, self.depth) = (self.lines, []), (self.depth, 1)
        self.maps(stage, loop=loop)
        (lines, self.lines), self.depth = (self.lines, lines), depth
        self.put(self.outline.call(lines))

    def condition(self, stage: Stage) -> str:
        """Return the condition of a stage of the adjoint that only some of the results need, "" of any other."""
        if not self.plan.backward or not self.needed.isdisjoint(stage.nodes):
            return ""
        users = [index for index, below in enumerate(self.below_results) if not below.isdisjoint(stage.nodes)]
        return f"wants & {sum(1 << index for index in users)} != 0"

    @cached_property
    def needed(self) -> set[Node]:
        """What the carried values and the kept ones are computed from."""
        return set(toposort([*(c.following for c in self.plan.carried), *self.plan.kept]))

    @cached_property
    def below_results(self) -> list[set[Node]]:
        """What each result is computed from."""
        return [set(toposort([node])) for node in self.plan.results]

    def products(self, stage: Products, *, loop: bool) -> None:
        """Write the call of `product` for a group of matrices.

        Their panels are dense, and so are the results: where sizes are no multiples of sixteen these are moved apart.
        """
        matrix = stage.nodes[0].sources[0]
        length = self.size(matrix.shape[0] if stage.transposed else matrix.shape[1])
        panels = self.slot("group", self.layout.groups.index(stage))
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
            self.put(
                f"call_product(product, {source}, {stride}, 4, {panels}, {target}, {out_stride}, {length},"
                f" ({dense[-1]} + 63) // 64, {rows}, 0, plain)"
            )

        if len(sizes) == 1:
            call(source, target, rows)
            return
        with self.block(f"if {dense[-2]} == {places[-1]}:"):
            call(source, target, rows)
        with self.block("else:"), self.block(f"for done in range(0, {rows}, {SPREAD_ROWS}):"):
            self.put(f"target = {target} + done * {out_stride}")
            self.put(f"count = min({SPREAD_ROWS}, {rows} - done)")
            call(f"{source} + done * {stride}", "target", "count")
            with self.block("for b in range(count):"):
                self.put(f"row = target + b * {out_stride}")
                for begin, place, size in reversed(list(zip(dense, places, sizes, strict=False))):
                    self.put(f"spread(row + {begin}, row + {place}, {size})")

    def maps(self, stage: Maps, *, loop: bool) -> None:
        """Write the loop of a fused stage: loads, elementwise work, folds, stores."""
        names: dict[Node, str] = {}
        folds = [node for node in stage.nodes if OPS[node.op].kind == "fold"]
        landings = self.landings(stage)
        with self.living_rows(loop=loop):
            reads = [node for node in stage.reads if node.op not in (Op.CONST, Op.LENGTH)]
            for index, node in enumerate(reads):
                self.put(f"r{index} = {self.address(node)}")
            for index, landing in enumerate(landings):
                self.put(f"o{index} = {landing.target}")
            for index, node in enumerate(folds):
                self.put(f"f{index} = {'zero()' if node.op is Op.SUM else 'splat(float32(-inf))'}")
            for kind in self.checked(landings):
                self.put(f"e{kind} = zero()")
            with self.block(f"for j in range(0, {self.width(stage.extent)}, 64):"):
                for index, node in enumerate(reads):
                    names[node] = f"a{index}"
                    self.put(f"a{index} = load(r{index}{' + j' if node.shape else ''})")
                for index, node in enumerate(stage.nodes):
                    if node not in folds:
                        names[node] = f"v{index}"
                        self.put(f"v{index} = {self.expression(node, names)}")
                for index, node in enumerate(folds):
                    self.fold(f"f{index}", node, names)
                for index, landing in enumerate(landings):
                    self.land(f"o{index} + j", landing, names[landing.node])
            for index, node in enumerate(folds):
                self.put(f"store({self.address(node)}, {OPS[node.op].kernel}(f{index}))")
            for kind in self.checked(landings):
                self.note(f"not all_finite(e{kind}, first(16))", kind)

    def landings(self, stage: Maps) -> list["_Landing"]:
        """Return where the values of a stage go: buffers, the next step's carried values, the caller's arrays."""
        found = []
        settled = {c.following for c in self.layout.settled}
        results = {self.plan.results[index] for index in self.layout.direct}
        write = "row" if self.plan.backward else "(row + rows)"
        for node in stage.nodes:
            size = self.size(node.shape[0]) if node.shape else "1"
            if node in self.layout.places and OPS[node.op].kind != "fold":
                found.append(_Landing(node, "buffer", self.address(node), size))
            for carried in self.layout.settled if node in settled else ():
                if carried.following is node:
                    base, stride, _ = self.place(carried.leaf)
                    row = write if self.is_history(carried.leaf) else "b"
                    fault = 0 if self.plan.backward else STATE_FAULT
                    found.append(_Landing(node, "carried", f"{base} + {row} * {stride}", size, fault))
            # An output that is a state too is looked at once: the fault of a state goes before that of an output.
            fault = 0 if self.plan.backward or node in settled else OUTPUT_FAULT
            found += [
                _Landing(node, "result", self.dense_row("result", index), size, fault)
                for index in (self.layout.direct if node in results else ())
                if self.plan.results[index] is node
            ]
        return found

    def checked(self, landings: list["_Landing"]) -> list[int]:
        """Return the kinds of fault that a stage looks for."""
        return sorted({landing.fault for landing in landings} - {0})

    def land(self, target: str, landing: "_Landing", value: str) -> None:
        """Write the store of a block, and the look for numbers that are not finite."""
        left = f"{landing.size} - j // 4"
        if landing.kind == "buffer":
            self.put(f"store({target}, {value})")
            return
        if landing.kind == "carried":
            self.put(f"store({target}, {self.flushed(value)})")
        else:
            self.put(f"put({target}, {value}, {left})")
        if landing.fault:
            self.put(f"e{landing.fault} = doubt(e{landing.fault}, {value}, {left})")

    def fold(self, total: str, node: Node, names: dict[Node, str]) -> None:
        """Add one block to a fold; lanes past the end of the vector do not count."""
        source = self.operand(node.sources[0], names)
        rest = f"first({self.size(node.sources[0].shape[0])} - j // 4)"
        if node.op is Op.SUM:
            self.put(f"{total} = add({total}, where({rest}, {source}, zero()))")
        else:
            self.put(f"{total} = maximum({total}, where({rest}, {source}, splat(float32(-inf))))")

    def expression(self, node: Node, names: dict[Node, str]) -> str:
        """Return the call that computes a node."""
        operands = [self.operand(source, names) for source in node.sources]
        return operands[0] if node.op is Op.SPREAD else f"{OPS[node.op].kernel}({', '.join(operands)})"

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
        factors = self.factors() if self.plan.backward and self.plan.carried else []
        return bool(factors) and all(self.plan.at.get(node) != "after" for node in factors)

    def factors(self) -> list[Node]:
        """Return what gradients of parameters are sums of: factors of products, and terms."""
        adjoint = self.cell.adjoint
        pairs = [node for pairs in adjoint.matrices.values() for pair in pairs for node in pair]
        return list(dict.fromkeys([*pairs, *adjoint.params.values()]))

    @contextmanager
    def params_wanted(self) -> Iterator[None]:
        """Open the condition of what is done for the gradients of parameters alone."""
        with self.block(f"if wants & {WANT_PARAMS} != 0:"):
            yield

    def begin_gradients(self) -> None:
        """Write what comes before the first sum."""
        self.put("begin = 0")
        if self.cell.adjoint.params:
            with self.params_wanted():
                for name, node in self.cell.adjoint.params.items():
                    self.put(f"clear({self.slot('sums', name)}, 16 * {self.width(extent(node))})")

    def add_gradients(self, ready: str, last: str) -> None:
        """Write the sums over pairs of step and row, some packed at a time, of which so many are `ready`.

        Of matrices they are products, a factor's panels by the other's; of vectors and scalars sums in lanes.
        """
        factors = self.factors()
        self.put(f"ready = {ready}")
        with self.block(f"while begin + {PAIRS} <= ready or ({last} and begin < ready):"):
            self.put(f"count = min({PAIRS}, ready - begin)")
            for index, node in enumerate(factors):
                base, stride, before = self.place(node)
                shift = f" + rows * {stride}" if self.is_history(node) else ""
                self.layout.pairs.append(extent(node))
                room = self.slot("pairs", index)
                self.put(
                    f"pack_pairs({base}{before}{shift}, {stride}, rows, steps, begin, count, {room},"
                    f" {self.width(extent(node))})"
                )
            for name, pairs in self.cell.adjoint.matrices.items():
                for g, v in pairs:
                    self.matrix_gradient(name, factors.index(g), factors.index(v))
            for name, node in self.cell.adjoint.params.items():
                terms, width = self.slot("pairs", factors.index(node)), self.width(extent(node))
                self.put(f"lane_sums({terms}, count, {width}, {self.slot('sums', name)})")
            self.put("begin += count")

    def end_gradients(self) -> None:
        """Write what comes after the last sum."""
        for name, node in self.cell.adjoint.params.items():
            sums, out = self.slot("sums", name), self.slot("grad", name)
            self.put(f"lane_total({sums}, {self.width(extent(node))}, {out})")

    def matrix_gradient(self, name: str, left: int, right: int) -> None:
        """Write the product of two packed factors, a panel of rows of the matrix at a time."""
        matrix = next(node for node in self.cell.step.params if node.name == name)
        rows, columns = self.size(matrix.shape[0]), self.width(matrix.shape[1])
        g, v, out = self.slot("pairs", left), self.slot("pairs", right), self.slot("grad", name)
        with self.block(f"for m in range(0, {rows}, 16):"):
            self.put(
                f"call_product(plain, {g} + 4 * m * count, 4, 64, {v}, {out} + m * {columns}, {columns}, count,"
                f" {columns} // 64, min(16, {rows} - m), 1, plain)"
            )


def _literal(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)
