"""A plan to the text of its kernel: Python for Numba, on the functions of `vector`, `activations`, `tile` and `rows`.

No name of the user's cell reaches the text: values are numbered in the order of the plan. The text depends on the
structure of a cell alone, so cells that differ in names or sizes share a kernel.
"""

import math
from dataclasses import dataclass

from cellar.engine.cell import Cell
from cellar.engine.graph import Node, Op
from cellar.engine.layout import HEAD, Layout, Slot, extent
from cellar.engine.ops import OPS
from cellar.engine.schedule import Maps, Products, Region, backward_plan, forward_plan
from cellar.engine.script import Script

IMPORTS = """\
from numba import cfunc, types
from numpy import float32, inf, nan

from cellar.engine.activations import *
from cellar.engine.rows import *
from cellar.engine.tile import *
from cellar.engine.vector import *
"""

ENTRY = "cellar_kernel"


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


class _Writer(Script):
    """Writes the kernel of a plan, part by part."""

    # --- the kernel

    def kernel(self) -> KernelText:
        """Return the whole text."""
        with self.block("if not keeps_subnormals(probe):"):
            self.put("return 1")
        self.enter()
        self.put("t0 = 0")
        with self.block("while t0 < steps:"):  # not a range: one with a variable stride can raise
            self.put("count = min(chunk, steps - t0)")
            self.stage_inputs()
            self.region("before")
            if self.plan.carried:
                order = "range(count - 1, -1, -1)" if self.plan.backward else "range(count)"
                with self.block(f"for u in {order}:"):
                    self.region("loop")
                    self.carry()
            self.region("after")
            self.copy_results()
            self.rewind()
            self.put("t0 += count")
        self.leave()
        if self.plan.backward:
            self.gradients()
        self.put("return 0")
        return KernelText("\n".join([IMPORTS, "", *self.head(), *self.lines, ""]), self.layout)

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

    # --- before and after the steps

    def stage_inputs(self) -> None:
        """Copy the caller's inputs of a chunk in; rows past their length read as zeros."""
        for index, node in enumerate(self.plan.staged):
            size = self.size(node.shape[0]) if node.shape else "1"
            target = self.address(node)
            with self.block("for u in range(count):"), self.block("for b in range(rows):"):
                self.put("row = u * rows + b")
                with self.block("if read_int32(lengths + 4 * b) <= t0 + u:"):
                    self.put(f"clear({target}, {self.width(extent(node))})")
                    self.put("continue")
                self.put(f"gather({self.dense_row('staged', index, size)}, {target}, {size})")
                if not node.shape:
                    self.put(f"store({target}, load_one({target}))")

    def carry_offset(self, index: int) -> str:
        """Return the floats of a dense row of carried values before one of them."""
        return " + ".join(["0", *(self.size(c.leaf.shape[0]) for c in self.plan.carried[:index])])

    def carry_total(self) -> str:
        """Return the floats of a dense row of carried values."""
        return self.carry_offset(len(self.plan.carried))

    def enter(self) -> None:
        """Copy the carried values in: to the first slot of a history, or to the slot of the row's end if time descends.

        So behind a row's end a descending history holds zeros, which add nothing to the sums over all rows and steps.
        """
        slot = "read_int32(lengths + 4 * b)" if self.plan.backward else "0"
        if self.plan.carried:
            with self.block("for b in range(rows):"):
                for index, carried in enumerate(self.plan.carried):
                    source = (
                        f"{self.slot('carry_in', 0)} + 4 * (b * ({self.carry_total()}) + {self.carry_offset(index)})"
                    )
                    target = self.slot_row(carried.leaf, slot)
                    self.put(f"gather({source}, {target}, {self.size(carried.leaf.shape[0])})")

    def carry(self) -> None:
        """Hand the new values to the next step; a row past its length keeps what it has.

        If time descends such a row has not begun: its values wait in the slot of its end.
        """
        read, write = ("u + 1", "u") if self.plan.backward else ("u", "u + 1")
        with self.block("for b in range(rows):"):
            with self.block("if read_int32(lengths + 4 * b) <= t0 + u:"):
                for carried in self.plan.carried if self.plan.history and not self.plan.backward else ():
                    old, new = self.slot_row(carried.leaf, f"({read})"), self.slot_row(carried.leaf, f"({write})")
                    self.put(f"settle({old}, {new}, {self.size(carried.leaf.shape[0])})")
                self.put("continue")
            self.put("row = u * rows + b")
            self.put("finite = True")
            for carried in self.plan.carried:
                new = self.slot_row(carried.leaf, f"({write})")
                size = self.size(carried.leaf.shape[0])
                self.put(f"finite = settle({self.address(carried.following)}, {new}, {size}) and finite")
            if not self.plan.backward:
                with self.block("if not finite and read_int32(bad_step + 4 * b) < 0:"):
                    self.put("write_int32(bad_step + 4 * b, t0 + u)")
                    self.put("write_int32(bad_kind + 4 * b, 1)")

    def rewind(self) -> None:
        """After a chunk that keeps its history the newest values become the first of the next chunk.

        Only when everything after the loop has read the first ones.
        """
        if self.plan.carried and self.plan.history and not self.plan.backward:
            with self.block("if t0 + count < steps:"), self.block("for b in range(rows):"):
                for carried in self.plan.carried:
                    old, new = self.slot_row(carried.leaf, "count"), self.slot_row(carried.leaf, "0")
                    self.put(f"settle({old}, {new}, {self.size(carried.leaf.shape[0])})")

    def leave(self) -> None:
        """Copy the carried values out after the last step."""
        if not self.plan.carried:
            return
        with self.block("for b in range(rows):"):
            for index, carried in enumerate(self.plan.carried):
                # The last chunk holds what is left of `steps` after the whole ones.
                slot = "0" if self.plan.backward else "(steps - (steps - 1) // chunk * chunk if steps > 0 else 0)"
                target = f"{self.slot('carry_out', 0)} + 4 * (b * ({self.carry_total()}) + {self.carry_offset(index)})"
                self.put(f"scatter({self.slot_row(carried.leaf, slot)}, {target}, {self.size(carried.leaf.shape[0])})")

    def copy_results(self) -> None:
        """Copy the results of a chunk out, and note for each row the first step whose result is not finite."""
        for index, node in enumerate(self.plan.results):
            size = self.size(node.shape[0]) if node.shape else "1"
            target = self.dense_row("result", index, size)
            with self.block("for u in range(count):"), self.block("for b in range(rows):"):
                self.put("row = u * rows + b")
                with self.block("if read_int32(lengths + 4 * b) <= t0 + u:"):
                    self.put(f"clear_dense({target}, {size})")
                    self.put("continue")
                self.put(f"scatter({self.address(node)}, {target}, {size})")
                if not self.plan.backward:
                    with self.block(f"if not is_finite({self.address(node)}, {size}):"):
                        self.put("known = read_int32(bad_step + 4 * b)")
                        with self.block("if known < 0 or known > t0 + u:"):
                            self.put("write_int32(bad_step + 4 * b, t0 + u)")
                            self.put("write_int32(bad_kind + 4 * b, 2)")

    # --- stages

    def region(self, region: Region) -> None:
        """Write the stages of a region in order."""
        for stage in self.plan.regions[region]:
            if isinstance(stage, Products):
                self.products(stage, loop=region == "loop")
            else:
                self.maps(stage, loop=region == "loop")

    def products(self, stage: Products, *, loop: bool) -> None:
        """Write a call of `product` for a group of matrices."""
        matrix = stage.nodes[0].sources[0]
        length = self.size(matrix.shape[0] if stage.transposed else matrix.shape[1])
        panels = self.slot("group", self.layout.groups.index(stage))
        base, stride, before = self.place(stage.operand)
        out, out_stride, _ = self.place(stage.nodes[0])
        source = f"{base}{before}{self.first_row(stage.operand, stride, loop=loop)}"
        target = f"{out}{self.first_row(stage.nodes[0], out_stride, loop=loop)}"
        rows = "rows" if loop else "count * rows"
        self.put(f"product({source}, {stride}, {panels}, {target}, {out_stride}, {length}, {out_stride}, {rows})")

    def maps(self, stage: Maps, *, loop: bool) -> None:
        """Write the loop of a fused stage: loads, elementwise work, folds, stores."""
        names: dict[Node, str] = {}
        folds = [node for node in stage.nodes if OPS[node.op].kind == "fold"]
        with self.living_rows(loop=loop):
            reads = [node for node in stage.reads if node.op not in (Op.CONST, Op.LENGTH)]
            for index, node in enumerate(reads):
                self.put(f"r{index} = {self.address(node)}")
            stored = [node for node in stage.nodes if node in self.layout.places and node not in folds]
            for index, node in enumerate(stored):
                self.put(f"o{index} = {self.address(node)}")
            for index, node in enumerate(folds):
                self.put(f"f{index} = {'zero()' if node.op is Op.SUM else 'splat(float32(-inf))'}")
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
                for index, node in enumerate(stored):
                    self.put(f"store(o{index} + j, {names[node]})")
            for index, node in enumerate(folds):
                self.put(f"store({self.address(node)}, {OPS[node.op].kernel}(f{index}))")

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

    def gradients(self) -> None:
        """Sum the gradients of the parameters over all steps, after the loop."""
        adjoint = self.cell.adjoint
        for name, pairs in adjoint.matrices.items():
            matrix = next(node for node in self.cell.step.params if node.name == name)
            rows, columns = self.size(matrix.shape[0]), self.width(matrix.shape[1])
            for g, v in pairs:
                left, right = self.rows_of(g), self.rows_of(v)
                out = self.slot("grad", name)
                with self.block("for t in range(steps - 1, -1, -1):"):
                    self.put(f"outer({left}, {right}, {out}, {rows}, {columns}, rows)")
        for name, node in adjoint.params.items():
            base, stride, before = self.place(node)
            shift = f" + rows * {stride}" if self.is_history(node) else ""
            width = self.width(extent(node))
            sums, out = self.slot("sums", 0), self.slot("grad", name)
            self.put(f"lane_total({base}{before}{shift}, {stride}, {width}, steps, rows, {sums}, {out})")


def _literal(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)
