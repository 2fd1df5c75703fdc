"""Before and after the steps: rows between the caller's dense arrays and a kernel's memory, and faults in them."""

from collections.abc import Iterator
from contextlib import contextmanager

from cellar.engine.codegen.memory_plan import extent
from cellar.engine.codegen.source_writer import SourceWriter

STATE_FAULT, OUTPUT_FAULT = 1, 2
"""Kinds of fault: a state, or an output, is not finite."""


class Edges(SourceWriter):
    """Writes what stands around the stages of a kernel."""

    @property
    def gather(self) -> str:
        """The function that copies a row in."""
        return "gather" if self.cell.flushes else "gather_all"

    @property
    def settle(self) -> str:
        """The function that copies a row of a state to where the next step reads it."""
        return "settle" if self.cell.flushes else "settle_all"

    def flushed(self, value: str) -> str:
        """Return a value of a state as it is written."""
        return f"flush({value})" if self.cell.flushes else value

    @contextmanager
    def dense_rows(self) -> Iterator[None]:
        """Open the loops over all steps and rows of a dense array, `at` being the step's place in it."""
        with self.block("for u in range(steps):"), self.block("for b in range(rows):"):
            self.put("row = u * rows + b")
            self.put(f"at = {self.at}")
            yield

    def stage_inputs(self) -> None:
        """Copy the caller's inputs in; rows past their length read as zeros."""
        for index, node in enumerate(self.plan.staged):
            size = self.size(node.shape[0]) if node.shape else "1"
            target = self.address(node)
            with self.dense_rows():
                with self.block(f"if {self.ended}:"):
                    self.put(f"clear({target}, {self.width(extent(node))})")
                    self.put("continue")
                self.put(f"{self.gather}({self.dense_row('staged', index)}, {target}, {size})")
                if not node.shape:
                    self.put(f"store({target}, load_one({target}))")

    def before(self, index: int) -> str:
        """Return the bytes of the carried values that stand before one in a dense row."""
        sizes = (self.size(carried.leaf.shape[0]) for carried in self.plan.carried[:index])
        return f"4 * ({' + '.join(['0', *sizes])})"

    def enter(self) -> None:
        """Copy the carried values in: to the first slot of a history, or to the slot of the row's end if time descends.

        So behind a row's end a descending history holds zeros, which add nothing to the sums over all rows and steps.
        """
        if not self.plan.carried:
            return
        slot = self.end if self.plan.backward else "0"
        with self.block("for b in range(rows):"):
            self.put(f"origin = {self.slot('carry_in', 0)} + b * {self.slot('carry_in_row', 0)}")
            if not self.plan.backward:
                with self.block("if sources != 0:"):
                    self.put("origin = read_int(sources + 8 * b)")
                    self.put("origin = initial if origin == 0 else origin + offset")
            for index, carried in enumerate(self.plan.carried):
                target, size = self.slot_row(carried.leaf, slot), self.size(carried.leaf.shape[0])
                self.put(f"{self.gather}(origin + {self.before(index)}, {target}, {size})")

    def carry(self) -> None:
        """Hand the new values to the next step; a row past its length keeps what it has.

        If time descends such a row has not begun: its values wait in the slot of its end.
        """
        read, write = ("u + 1", "u") if self.plan.backward else ("u", "u + 1")
        keeps = self.plan.history and not self.plan.backward
        copied = [c for c in self.plan.carried if c not in self.layout.settled]
        if not copied and not keeps:
            return
        with self.block("for b in range(rows):" if copied else "for b in range(rows if lengths != 0 else 0):"):
            with self.block(f"if {self.ended}:"):
                for carried in self.plan.carried if keeps else ():
                    old, new = self.slot_row(carried.leaf, f"({read})"), self.slot_row(carried.leaf, f"({write})")
                    self.put(f"{self.settle}({old}, {new}, {self.size(carried.leaf.shape[0])})")
                self.put("continue")
            self.put("row = u * rows + b")
            self.put(f"at = {self.at}")
            self.put("finite = True")
            for carried in copied:
                new = self.slot_row(carried.leaf, f"({write})")
                size = self.size(carried.leaf.shape[0])
                self.put(f"finite = {self.settle}({self.address(carried.following)}, {new}, {size}) and finite")
            if copied and not self.plan.backward:
                self.note("not finite", STATE_FAULT)

    def note(self, condition: str, kind: int) -> None:
        """Write the note of a fault of row b at step u."""
        with self.block(f"if {condition}:"):
            self.put("faults = True")
            self.put(f"note_bad(bad_step, bad_kind, b, start + at, 4 * layer + {kind})")

    def leave(self) -> None:
        """Copy the carried values out after the last step."""
        if not self.plan.carried:
            return
        with self.block("for b in range(rows):"):
            self.put(f"target = {self.slot('carry_out', 0)} + b * {self.slot('carry_out_row', 0)}")
            for index, carried in enumerate(self.plan.carried):
                source = self.slot_row(carried.leaf, "0" if self.plan.backward else "steps")
                self.put(f"scatter({source}, target + {self.before(index)}, {self.size(carried.leaf.shape[0])})")

    def copy_results(self) -> None:
        """Copy out the results that no loop writes to the caller's array, and clear those of rows that have ended."""
        for index, node in enumerate(self.plan.results):
            size = self.size(node.shape[0]) if node.shape else "1"
            if index in self.layout.direct:
                with self.block("if lengths != 0:"), self.dense_rows(), self.block(f"if {self.ended}:"):
                    self.put(f"clear_dense({self.dense_row('result', index)}, {size})")
                continue
            with self.dense_rows():
                with self.block(f"if {self.ended}:"):
                    self.put(f"clear_dense({self.dense_row('result', index)}, {size})")
                    self.put("continue")
                self.put(f"scatter({self.address(node)}, {self.dense_row('result', index)}, {size})")
                if not self.plan.backward:
                    self.note(f"not is_finite({self.address(node)}, {size})", OUTPUT_FAULT)
