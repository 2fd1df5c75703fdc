"""A cell: one step of a recurrent network as a graph, with its sizes, parameters, states and kernels."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellar.engine import compiler
from cellar.engine.codegen.kernel_source import KernelText
from cellar.engine.ir.graph import Node, Step, toposort
from cellar.engine.ir.ops import Op
from cellar.engine.passes.autodiff import Adjoint


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: `shape` is () for a scalar, (n,) for a vector, (m, n) for a matrix."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class State:
    """A state variable: a vector of `size` floats."""

    name: str
    size: int


@dataclass(frozen=True)
class Cell:
    """A step as a graph, and the numbers behind its symbolic sizes."""

    step: Step
    sizes: Mapping[str, int]
    operations: int
    """Operators and calls in the text."""
    flushes: bool = True
    """Magnitudes below 2^-63 become +0 in inputs, weights and states. False keeps them: optimisers need them."""

    def _numbers(self, node: Node) -> tuple[int, ...]:
        return tuple(self.sizes[name] for name in node.shape)

    @cached_property
    def params(self) -> tuple[Param, ...]:
        """The parameters in the order in which the text first reads them."""
        return tuple(Param(node.name, self._numbers(node)) for node in self.step.params)

    @cached_property
    def states(self) -> tuple[State, ...]:
        """The state variables in the order of assignment."""
        return tuple(State(s.name, *self._numbers(s.previous)) for s in self.step.states)

    @cached_property
    def in_sizes(self) -> tuple[int, ...]:
        """The size of each input."""
        return tuple(size for node in self.step.inputs for size in self._numbers(node))

    @cached_property
    def out_size(self) -> int:
        """The size of the output; 1 for a scalar."""
        return (*self._numbers(self.step.output), 1)[0]

    @cached_property
    def state_size(self) -> int:
        """The number of floats in the state of one row."""
        return sum(state.size for state in self.states)

    @cached_property
    def adjoint(self) -> Adjoint:
        """The gradient of the step, simplified together with it."""
        return compiler.compile_adjoint(self.step)

    def forward_kernel(self, *, save: bool) -> KernelText:
        """Return the kernel that runs steps; with `save` it leaves a tape for the backward kernel."""
        return compiler.compile_forward(self.step, self.adjoint if save else None, flushes=self.flushes)

    def backward_kernel(self) -> KernelText:
        """Return the kernel that runs the adjoint over a tape and sums the gradients of the parameters."""
        return compiler.compile_backward(self.step, self.adjoint, flushes=self.flushes)

    @cached_property
    def canonical(self) -> str:
        """The step as numbered lines, one a node: the same for texts that differ in layout only."""
        order = toposort(self.step.roots)
        number = {node: index for index, node in enumerate(order)}
        lines = [f"%{number[node]} = {_describe(node, number)}" for node in order]
        lines += [f"state {s.name} = %{number[s.following]}" for s in self.step.states]
        return "\n".join([*lines, f"output = %{number[self.step.output]}"])

    @property
    def digest(self) -> str:
        """Return the sha256 of the canonical form: of structure and names, not of sizes."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    @cached_property
    def flops(self) -> int:
        """Floating-point operations of one step of one row; a fused multiply-add counts as two."""
        return sum(self._flops(node) for node in toposort(self.step.roots))

    def _flops(self, node: Node) -> int:
        kind = node.op.kind
        if kind == "product":
            return 2 * int(np.prod(self._numbers(node.sources[0])))
        if kind == "reduction":
            return self._numbers(node.sources[0])[0]
        return (*self._numbers(node), 1)[0] if kind == "map" else 0


def build_cell(text: str, sizes: Mapping[str, int], *, inputs: tuple[str, ...] = ("x",), flushes: bool = True) -> Cell:
    """Return the cell of these equations.

    `sizes` gives the number of each size name. The first input has size "in", any further one the size of its own
    name; a state whose size the equations leave open has size "hidden".

    Raise CellSyntaxError, CellNameError, CellShapeError or CellLimitError, with line, column and caret.
    """
    compiled = compiler.compile_step(text, sizes, inputs)
    return Cell(compiled.step, compiled.sizes, compiled.operations, flushes)


def _describe(node: Node, number: Mapping[Node, int]) -> str:
    shape = f" : {' x '.join(node.shape)}" if node.shape else ""
    if node.op is Op.CONST:
        return f"const {np.float32(node.value)!s}"
    words = [node.op.name, node.name, *(f"%{number[source]}" for source in node.sources)]
    return " ".join(word for word in words if word) + shape
