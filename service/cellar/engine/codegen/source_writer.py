"""The base of the writers of a kernel: indented lines, and the names of sizes, slots and addresses in the text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from cellar.engine.ir.graph import Node
from cellar.engine.ir.ops import Op
from cellar.engine.passes.memory_plan import MemoryPlan, SlotKind
from cellar.engine.passes.schedule import KernelSchedule

STATE_FAULT, OUTPUT_FAULT = 1, 2
"""Kinds of fault: a state, or an output, is not finite."""


class SourceWriter:
    """Lines of a kernel for a schedule and its memory plan.

    In the text, `s2` is a size and `w2` its width in bytes, `d9` a slot of the descriptor, `g1` the bytes of a row of a
    buffer; `u` is a step of the call, which began at step `start`, `b` a row of the batch, `row` both in one.
    """

    def __init__(self, schedule: KernelSchedule, memory_plan: MemoryPlan, *, flushes: bool) -> None:
        self.schedule = schedule
        self.memory_plan = memory_plan
        self.flushes = flushes
        """Whether the kernel replaces magnitudes below `FLUSH_BELOW` by +0."""
        self.lines: list[str] = []
        self.depth = 1
        step = schedule.step
        nodes = (*step.inputs, *step.params, *(s.previous for s in step.states))
        names = dict.fromkeys(name for node in nodes for name in node.shape)
        self.order = {name: index for index, name in enumerate(names)}
        """The size names in the order of their first appearance in the step."""

    def write(self, line: str) -> None:
        """Write a line."""
        self.lines.append("    " * self.depth + line)

    @contextmanager
    def block(self, line: str) -> Iterator[None]:
        """Write the line that opens a block; the block ends with the context."""
        self.write(line)
        self.depth += 1
        yield
        self.depth -= 1

    def slot(self, kind: SlotKind, index: int | str) -> str:
        """Return the name of a slot of the descriptor."""
        return f"d{self.memory_plan.number((kind, index))}"

    def size(self, name: str) -> str:
        """Return the name of a size."""
        return f"s{self.order[name]}"

    def width(self, name: str) -> str:
        """Return the bytes of a padded row of a size; "" is a scalar."""
        return f"w{self.order[name]}" if name else "64"

    def count(self, node: Node) -> str:
        """Return the number of floats of a value, 1 for a scalar."""
        return self.size(node.shape[0]) if node.shape else "1"

    def row_width(self, buffer: int) -> str:
        """Return the bytes of a row of a buffer."""
        widths = self.memory_plan.buffers[buffer].widths
        return self.width(widths[0]) if len(widths) == 1 else f"g{buffer}"

    @property
    def row_ended(self) -> str:
        """The condition that row b is past its length at step u."""
        return "lengths != 0 and read_int32(lengths + 4 * b) <= start + u"

    @property
    def dense_step(self) -> str:
        """The step of a dense array that is step u of row b: counted from the row's end if the call is reversed."""
        return f"{self.row_length} - 1 - u if reverse != 0 and u < {self.row_length} else u"

    @property
    def row_length(self) -> str:
        """The number of steps of row b, in a call that begins a sequence."""
        return "(read_int32(lengths + 4 * b) if lengths != 0 else steps)"

    @contextmanager
    def active_rows(self, *, loop: bool) -> Iterator[None]:
        """Open the loops over the rows that are not past their length; outside the time loop, over all steps too."""
        if not loop:
            self.write("for u in range(steps):")
            self.depth += 1
        with self.block("for b in range(rows):"):
            with self.block(f"if {self.row_ended}:"):
                self.write("continue")
            self.write("row = u * rows + b")
            self.write(f"at = {self.dense_step}")
            yield
        if not loop:
            self.depth -= 1

    def address(self, node: Node) -> str:
        """Return the address of a node's row for step u and row b."""
        if node.op is Op.PARAM:
            return self.param(node)
        base, stride, before = self.place(node)
        index = "b" if self.is_step_local(node) else "row"
        if self.is_history(node) and self.schedule.backward:
            index = "(row + rows)"
        return f"{base} + {index} * {stride}{before}"

    def place(self, node: Node) -> tuple[str, str, str]:
        """Return base, row stride and offset within the row of a value in memory."""
        if node.op is Op.PARAM:
            return self.param(node), "0", ""
        place = self.memory_plan.places.get(node)
        if place is None:
            index = self.schedule.taped.index(node)
            return self.slot("tape", index), self.slot("tape_row", index), ""
        before = "".join(f" + {self.width(name)}" for name in place.before)
        return self.slot("buffer", place.buffer), self.row_width(place.buffer), before

    def is_step_local(self, node: Node) -> bool:
        """Return whether a value has room for one step only."""
        place = self.memory_plan.places.get(node)
        return place is not None and self.memory_plan.buffers[place.buffer].span == "step"

    def is_history(self, node: Node) -> bool:
        """Return whether a value keeps a slot for every step of a call and one more."""
        place = self.memory_plan.places.get(node)
        return place is not None and self.memory_plan.buffers[place.buffer].span == "history"

    def param(self, node: Node) -> str:
        """Return the address of a vector or scalar parameter."""
        if node not in self.memory_plan.vectors:
            self.memory_plan.vectors.append(node)
        return self.slot("vector", node.name)

    def dense_row(self, kind: Literal["input", "result"], index: int) -> str:
        """Return the address of row b at step `at` of one of the caller's dense arrays."""
        strides: dict[str, tuple[SlotKind, SlotKind]] = {
            "input": ("input_row", "input_time"),
            "result": ("result_row", "result_time"),
        }
        row, time = (self.slot(stride, index) for stride in strides[kind])
        return f"{self.slot(kind, index)} + at * {time} + b * {row}"

    def slot_row(self, leaf: Node, slot: str) -> str:
        """Return the address of row b of a carried value in a slot of its history."""
        base, stride, _ = self.place(leaf)
        return f"{base} + ({slot} * rows + b) * {stride}" if self.is_history(leaf) else f"{base} + b * {stride}"

    def first_row(self, node: Node, stride: str, *, loop: bool) -> str:
        """Return the offset of row 0: of step u inside the loop, of the first step outside."""
        if node.op is Op.PARAM or self.is_step_local(node):
            return ""
        step = "u" if loop else "0"
        if self.is_history(node) and self.schedule.backward:
            step = f"({step} + 1)"
        return f" + {step} * rows * {stride}"

    def flushed(self, value: str) -> str:
        """Return a value of a state as it is written."""
        return f"flush({value})" if self.flushes else value

    def record_fault(self, condition: str, kind: int) -> None:
        """Write the record of a fault of row b at step u."""
        with self.block(f"if {condition}:"):
            self.write("faults = True")
            self.write(f"record_fault(bad_step, bad_kind, b, start + at, 4 * layer + {kind})")
