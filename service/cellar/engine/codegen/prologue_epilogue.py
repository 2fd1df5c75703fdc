"""Writes what a kernel does before and after its steps: it loads inputs and states, and stores results and states."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from cellar.engine.codegen.source_writer import OUTPUT_FAULT, STATE_FAULT, SourceWriter
from cellar.engine.ir.graph import Node
from cellar.engine.passes.memory_plan import extent


class PrologueEpilogueWriter(SourceWriter):
    """Writes the copies between the caller's dense arrays and the kernel's padded rows."""

    @contextmanager
    def dense_rows(self) -> Iterator[None]:
        """Open the loops over all steps and rows of a dense array, `at` being the step's place in it."""
        with self.block("for u in range(steps):"), self.block("for b in range(rows):"):
            self.write("row = u * rows + b")
            self.write(f"at = {self.dense_step}")
            yield

    def load_inputs(self) -> None:
        """Load the caller's inputs; rows past their length are zeros."""
        for index, node in enumerate(self.schedule.inputs):
            target = self.address(node)
            with self.dense_rows():
                with self.block(f"if {self.row_ended}:"):
                    self.write(f"clear({target}, {self.width(extent(node))})")
                    self.write("continue")
                self.write(f"load_row({self.dense_row('input', index)}, {target}, {self.count(node)}, {self.flushes})")
                if not node.shape:
                    self.write(f"store({target}, load_one({target}))")

    def before(self, index: int) -> str:
        """Return the bytes of the carried values that stand before one in a dense row."""
        sizes = (self.size(carried.leaf.shape[0]) for carried in self.schedule.carried[:index])
        return f"4 * ({' + '.join(['0', *sizes])})"

    def load_carried(self) -> None:
        """Load the carried values to the first slot of a history, or if time descends to the slot of the row's end.

        Behind a row's end a descending history holds zeros, which add nothing to the sums over all rows and steps.
        """
        if not self.schedule.carried:
            return
        slot = self.row_length if self.schedule.backward else "0"
        with self.block("for b in range(rows):"):
            self.write(f"origin = {self.slot('carry_in', 0)} + b * {self.slot('carry_in_row', 0)}")
            if not self.schedule.backward:
                with self.block("if state_pointers != 0:"):
                    self.write("origin = read_int(state_pointers + 8 * b)")
                    self.write("origin = initial_state if origin == 0 else origin + state_offset")
            for index, carried in enumerate(self.schedule.carried):
                target, size = self.slot_row(carried.leaf, slot), self.size(carried.leaf.shape[0])
                self.write(f"load_row(origin + {self.before(index)}, {target}, {size}, {self.flushes})")

    def advance_carried(self) -> None:
        """Copy the new values to where the next step reads them; a row past its length keeps its values.

        If time descends, such a row has not begun: its values are in the slot of its end.
        """
        read, write = ("u + 1", "u") if self.schedule.backward else ("u", "u + 1")
        keeps = self.schedule.history and not self.schedule.backward
        copied = [c for c in self.schedule.carried if c not in self.memory_plan.in_place]
        if not copied and not keeps:
            return
        with self.block("for b in range(rows):" if copied else "for b in range(rows if lengths != 0 else 0):"):
            with self.block(f"if {self.row_ended}:"):
                for carried in self.schedule.carried if keeps else ():
                    old, new = self.slot_row(carried.leaf, f"({read})"), self.slot_row(carried.leaf, f"({write})")
                    self.write(f"copy_and_check({old}, {new}, {self.size(carried.leaf.shape[0])}, {self.flushes})")
                self.write("continue")
            self.write("row = u * rows + b")
            self.write(f"at = {self.dense_step}")
            self.write("finite = True")
            for carried in copied:
                new = self.slot_row(carried.leaf, f"({write})")
                size = self.size(carried.leaf.shape[0])
                copy = f"copy_and_check({self.address(carried.following)}, {new}, {size}, {self.flushes})"
                self.write(f"finite = {copy} and finite")
            if copied and not self.schedule.backward:
                self.record_fault("not finite", STATE_FAULT)

    def store_carried(self) -> None:
        """Store the carried values after the last step."""
        if not self.schedule.carried:
            return
        with self.block("for b in range(rows):"):
            self.write(f"target = {self.slot('carry_out', 0)} + b * {self.slot('carry_out_row', 0)}")
            for index, carried in enumerate(self.schedule.carried):
                source = self.slot_row(carried.leaf, "0" if self.schedule.backward else "steps")
                self.write(f"store_row({source}, target + {self.before(index)}, {self.size(carried.leaf.shape[0])})")

    def store_results(self) -> None:
        """Store the results that no loop has stored, and clear those of rows that have ended."""
        for index, node in enumerate(self.schedule.results):
            wanted = self.block(f"if grad_mask & {1 << index} != 0:") if self.schedule.backward else nullcontext()
            with wanted:
                self.store_result(index, node)

    def store_result(self, index: int, node: Node) -> None:
        """Store one result for all steps and rows."""
        size, target = self.count(node), self.dense_row("result", index)
        if index in self.memory_plan.direct:
            with self.block("if lengths != 0:"), self.dense_rows(), self.block(f"if {self.row_ended}:"):
                self.write(f"clear_dense({target}, {size})")
            return
        with self.dense_rows():
            with self.block(f"if {self.row_ended}:"):
                self.write(f"clear_dense({target}, {size})")
                self.write("continue")
            self.write(f"store_row({self.address(node)}, {target}, {size})")
            if not self.schedule.backward:
                self.record_fault(f"not is_finite({self.address(node)}, {size})", OUTPUT_FAULT)
