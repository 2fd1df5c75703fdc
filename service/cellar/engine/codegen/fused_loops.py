"""Writes the loops of a kernel over the blocks of a row: loads, elementwise work, reductions, stores."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cellar.engine.codegen.source_writer import OUTPUT_FAULT, STATE_FAULT, SourceWriter
from cellar.engine.ir.graph import Node
from cellar.engine.ir.ops import Op
from cellar.engine.passes.schedule import FusedLoop


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a value of a fused loop is stored: an address, and how many floats the row there has."""

    node: Node
    kind: Literal["buffer", "carried", "result"]
    target: str
    size: str
    fault: int = 0
    """The kind of fault that a number here which is not finite means; 0 for none."""


class FusedLoopWriter(SourceWriter):
    """Writes fused loops, with the values of a block in local variables of the text."""

    def fused_loop(self, stage: FusedLoop, *, loop: bool) -> None:
        """Write a fused loop: loads, elementwise work, reductions, stores."""
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
            for kind in self.fault_kinds(destinations):
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
            for kind in self.fault_kinds(destinations):
                self.record_fault(f"not all_finite(e{kind}, first(16))", kind)

    def destinations(self, stage: FusedLoop) -> list["_Destination"]:
        """Return the places where the values of a stage go, node by node."""
        return [
            destination
            for node in stage.nodes
            for destination in (*self.buffers_of(node), *self.carried_of(node), *self.results_of(node))
        ]

    def buffers_of(self, node: Node) -> Iterator["_Destination"]:
        """Yield the place of a node in scratch memory, if it has one. Reductions are stored after the loop."""
        if node in self.memory_plan.places and node.op.kind != "reduction":
            yield _Destination(node, "buffer", self.address(node), self.count(node))

    def carried_of(self, node: Node) -> Iterator["_Destination"]:
        """Yield the places where the next step reads a node as the value that the step before has handed to it."""
        after = "row" if self.schedule.backward else "(row + rows)"
        for carried in self.memory_plan.in_place:
            if carried.following is node:
                base, stride, _ = self.place(carried.leaf)
                row = after if self.is_history(carried.leaf) else "b"
                fault = 0 if self.schedule.backward else STATE_FAULT
                yield _Destination(node, "carried", f"{base} + {row} * {stride}", self.count(node), fault)

    def results_of(self, node: Node) -> Iterator["_Destination"]:
        """Yield the places of a node in the caller's arrays.

        An output that is also a state is checked once, as a state, whose fault goes before that of an output.
        """
        is_state = any(carried.following is node for carried in self.memory_plan.in_place)
        fault = 0 if self.schedule.backward or is_state else OUTPUT_FAULT
        for index in self.memory_plan.direct:
            if self.schedule.results[index] is node:
                yield _Destination(node, "result", self.dense_row("result", index), self.count(node), fault)

    def fault_kinds(self, destinations: list["_Destination"]) -> list[int]:
        """Return the kinds of fault that the stores of a stage can have."""
        return sorted({destination.fault for destination in destinations} - {0})

    def store_block(self, target: str, destination: "_Destination", value: str) -> None:
        """Write the store of a block, and the check for numbers that are not finite."""
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
        """Write the step that adds one block to a reduction, without the lanes past the end of the vector."""
        source = self.operand(node.sources[0], names)
        rest = f"first({self.size(node.sources[0].shape[0])} - j // 4)"
        self.write(f"{total} = {node.op.combine}({total}, where({rest}, {source}, {node.op.identity}))")

    def expression(self, node: Node, names: dict[Node, str]) -> str:
        """Return the call that computes a node."""
        operands = [self.operand(source, names) for source in node.sources]
        return f"{node.op.kernel}({', '.join(operands)})" if node.op.kernel else operands[0]

    def operand(self, node: Node, names: dict[Node, str]) -> str:
        """Return the expression by which a node's value is read."""
        if node.op is Op.CONST:
            return f"splat(float32({_literal(node.value)}))"
        if node.op is Op.LENGTH:
            return f"splat(float32({self.size(node.name)}))"
        return names[node]


def _literal(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)
