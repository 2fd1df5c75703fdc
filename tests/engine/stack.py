"""Two layers in one program, and what their kernels answer one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellar.engine import (
    CompiledCell,
    KernelCache,
    NetworkCode,
    NetworkProgram,
    NodeWeights,
    PackedWeights,
    PlanNode,
    Run,
)
from cellar.engine.execution.network_plan import INPUT, Signal
from tests.engine import oracle

if TYPE_CHECKING:
    from tests.engine.conftest import Compiled

Floats = NDArray[np.float32]

SIZE = 21
"""Leaves rest in every block."""


@dataclass(frozen=True)
class Layer:
    """A node of a network, with weights."""

    kernel: CompiledCell
    packed: PackedWeights
    reads: tuple[Signal, ...]
    offset: int | None
    initial: Floats
    reverse: bool = False

    @property
    def node(self) -> PlanNode:
        """Return it without weights."""
        return PlanNode(self.kernel, self.reads, self.offset, self.reverse)

    @property
    def weights(self) -> NodeWeights:
        """Return its weights."""
        return NodeWeights(self.packed, self.initial)


def node(
    kernel: CompiledCell, seed: int, reads: tuple[Signal, ...], offset: int | None, *, reverse: bool = False
) -> Layer:
    """Return a node with drawn weights; one without a place in the state begins with ones."""
    weights = oracle.draw(kernel.cell, 1, 1, seed=seed).weights
    return Layer(kernel, kernel.pack(weights), reads, offset, np.ones(kernel.cell.state_size, np.float32), reverse)


def program_of(
    layers: Sequence[Layer], output: Signal, in_size: int, state_size: int, cache: KernelCache
) -> NetworkProgram:
    """Return the network of these layers."""
    code = NetworkCode([each.node for each in layers], output, in_size, state_size, cache)
    return NetworkProgram(code, [each.weights for each in layers])


class Stack:
    """Two LSTMs, one on the other."""

    def __init__(self, compiled: "Compiled") -> None:
        lower, upper = compiled("lstm", SIZE), compiled("lstm", SIZE, inputs=SIZE)
        self.width = lower.cell.state_size
        self.nodes = [node(lower, 1, (INPUT,), 0), node(upper, 2, ((0,),), self.width)]
        for place in self.nodes:
            place.initial[:] = oracle.draw(place.kernel.cell, 1, 1, seed=3).state[0]
        self.initial = np.concatenate([place.initial for place in self.nodes])
        self.program = program_of(self.nodes, (1,), 3, 2 * self.width, compiled.cache)

    def plain(self, inputs: Floats, state: Floats, lengths: NDArray[np.int32] | None = None) -> Run:
        """Run the kernels one after the other."""
        signal, states = inputs, []
        for place in self.nodes:
            assert place.offset is not None
            before = np.ascontiguousarray(state[:, place.offset : place.offset + self.width])
            found = place.kernel.forward(place.packed, (signal,), before, lengths)
            signal = found.outputs
            states.append(found.state)
        return Run(signal, np.concatenate(states, axis=1))

    def draw(self, steps: int, rows: int) -> tuple[Floats, Floats]:
        """Return inputs and states."""
        rng = np.random.default_rng(steps + rows)
        shapes = (steps, rows, 3), (rows, 2 * self.width)
        inputs, state = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
        return inputs, state


def same(found: Run, wanted: Run) -> None:
    """Assert that two runs have the same bits."""
    np.testing.assert_array_equal(found.outputs, wanted.outputs)
    np.testing.assert_array_equal(found.state, wanted.state)


def kept_bytes(program: NetworkProgram) -> int:
    """Return the bytes of the frames that the code of a program keeps for later calls."""
    return sum(frame.size for pool in program.code._pools.values() for frame in pool)
