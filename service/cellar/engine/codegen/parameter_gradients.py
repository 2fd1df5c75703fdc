"""Writes the part of a backward kernel that sums the gradients of parameters over all steps and rows.

The gradient of a matrix is a sum of outer products of pairs of factors, that of a vector or scalar a sum of terms. The
factors are packed `PAIRS` at a time, so that the sums are matrix products and sums in lanes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from cellar.engine.codegen.source_writer import SourceWriter
from cellar.engine.ir.graph import Node
from cellar.engine.passes.autodiff import Adjoint
from cellar.engine.passes.memory_plan import CONTINUED, PAIRS, PARAM_GRADIENTS, UNFINISHED, extent


class ParameterGradientWriter(SourceWriter):
    """Writes the sums of the gradients of parameters."""

    @property
    def adjoint(self) -> Adjoint:
        """The adjoint that the kernel computes."""
        assert self.schedule.adjoint is not None
        return self.schedule.adjoint

    def gradients_in_loop(self) -> bool:
        """Return whether the gradients of a step can be summed when it ends, with their factors still in the caches."""
        factors = self.factors() if self.schedule.backward and self.schedule.carried else []
        return bool(factors) and all(self.schedule.region_of.get(node) != "after" for node in factors)

    def factors(self) -> list[Node]:
        """Return the nodes that gradients of parameters are sums of: factors of outer products, and terms."""
        pairs = [node for pairs in self.adjoint.matrices.values() for pair in pairs for node in pair]
        return list(dict.fromkeys([*pairs, *self.adjoint.params.values()]))

    @contextmanager
    def if_param_gradients(self) -> Iterator[None]:
        """Open the condition that the gradients of parameters are wanted."""
        with self.block(f"if grad_mask & {PARAM_GRADIENTS} != 0:"):
            yield

    def begin_gradients(self) -> None:
        """Write the initialisation of the sums."""
        self.write("begin = 0")
        if self.adjoint.params:
            with self.block(f"if grad_mask & {PARAM_GRADIENTS + CONTINUED} == {PARAM_GRADIENTS}:"):
                for name, node in self.adjoint.params.items():
                    self.write(f"clear({self.slot('sums', name)}, 16 * {self.width(extent(node))})")

    def add_gradients(self, ready: str, last: str) -> None:
        """Write the sums over pairs of step and row, `PAIRS` at a time, of which `ready` are computed.

        For matrices they are products of packed factors, for vectors and scalars sums in lanes.
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
            for name, pairs in self.adjoint.matrices.items():
                for g, v in pairs:
                    self.matrix_gradient(name, factors.index(g), factors.index(v))
            for name, node in self.adjoint.params.items():
                terms, width = self.slot("pairs", factors.index(node)), self.width(extent(node))
                self.write(f"lane_sums({terms}, count, {width}, {self.slot('sums', name)})")
            self.write("begin += count")

    def end_gradients(self) -> None:
        """Write the addition of the partial sums of vectors and scalars to their gradients."""
        if not self.adjoint.params:
            return
        with self.block(f"if grad_mask & {UNFINISHED} == 0:"):
            for name, node in self.adjoint.params.items():
                sums, out = self.slot("sums", name), self.slot("grad", name)
                self.write(f"lane_total({sums}, {self.width(extent(node))}, {out})")

    def matrix_gradient(self, name: str, left: int, right: int) -> None:
        """Write the product of two packed factors, a panel of rows of the matrix at a time."""
        matrix = next(node for node in self.schedule.step.params if node.name == name)
        rows, columns = self.size(matrix.shape[0]), self.width(matrix.shape[1])
        g, v, out = self.slot("pairs", left), self.slot("pairs", right), self.slot("grad", name)
        with self.block(f"for m in range(0, {rows}, 16):"):
            self.write(
                f"call_product(product_float32, {g} + 4 * m * count, 4, 64, {v}, {out} + m * {columns}, {columns},"
                f" count, {columns} // 64, min(16, {rows} - m), 1, product_float32)"
            )
