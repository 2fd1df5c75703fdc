"""Computes the memory of an update's windows, and divides windows into segments so that it stays within a bound.

Of a window that is run in segments (`loss_gradient`) values are kept for one segment at a time. These segments begin at
the window's end and have a number of steps with which every sum is continued where it was left, so that the bits do
not depend on whether, and how, a window is divided.
"""

import math
from collections.abc import Iterator

from cellar.engine import Signal, TrainingScratch, room
from cellar.nn.execution.array_functions import sum_bytes
from cellar.nn.model.network import Network
from cellar.nn.training.data.batches import cut
from cellar.nn.training.objective import Objective

WINDOW_BYTES = 256 * 1024 * 1024
"""Most memory for the values of windows that are not divided."""

LEAST_WINDOW_BYTES = 1024 * 1024
"""Windows are not divided further: with shorter segments an update takes much longer."""

SEGMENT_BYTES = 32 * 1024 * 1024
"""Most memory for the values of a segment: they remain in the third-level cache between the two passes."""


class WindowMemory:
    """The memory of the forward and the backward pass of a network, and of its loss, over windows."""

    def __init__(self, network: Network, objective: Objective, most_bytes: int = WINDOW_BYTES) -> None:
        """Divide windows that need more than `most_bytes`."""
        self._network = network
        self._scratch = [TrainingScratch(layer.cell) for layer in network.layers]
        self._parts = objective.parts
        self._losses = [(TrainingScratch(part.cell), part.each) for part in objective.parts]
        self._most_bytes = most_bytes
        self._lengths: dict[tuple[int, int], int] = {}
        self._phase = max([scratch.phase for scratch in self._scratch], default=1)

    def segments(self, steps: int, rows: int, recompute: int | None) -> tuple[slice, ...]:
        """Return the segments of a window, of `recompute` steps if that is given: one if it need not be divided.

        The first one may be shorter, and with `recompute` the last one.
        """
        length = self.length(steps, rows, recompute)
        if length >= steps or recompute is not None:
            return cut(steps, recompute)
        first = steps % length or length
        return tuple(slice(max(0, end - length), end) for end in range(first, steps + 1, length))

    def piece_bytes(self, steps: int, rows: int, recompute: int | None) -> int:
        """Return the bytes of a workspace for windows of that size, or for their segments."""
        return self.bytes(self.length(steps, rows, recompute), rows)

    def length(self, steps: int, rows: int, recompute: int | None) -> int:
        """Return the number of steps of a segment of a window."""
        if recompute is not None:
            return min(steps, recompute)
        found = self._lengths.get((steps, rows))
        if found is None:
            found = self._lengths[steps, rows] = self._length(steps, rows)
        return found

    def _length(self, steps: int, rows: int) -> int:
        if self._network.whole_sequences or self.bytes(steps, rows) <= self._most_bytes:
            return steps
        unit = self._phase // math.gcd(self._phase, rows)
        least, each = self.bytes(0, rows), self.bytes(1, rows) - self.bytes(0, rows)
        most = (min(SEGMENT_BYTES, self._most_bytes) - least) // max(1, each)
        return min(steps, max(unit, most // unit * unit))

    def bytes(self, steps: int, rows: int) -> int:
        """Return the bytes of a workspace for one recording with segments of this many steps, at most."""
        numbers = steps * rows
        floats = sum(room(4 * numbers * size) for size in self._sizes())
        calls = [length for parts in self._calls(steps, rows) for length in parts]
        return floats + sum(room(length) for length in [*calls, *self._sums(numbers, rows)])

    def forward_bytes(self, steps: int, rows: int) -> int:
        """Return the bytes of a forward pass that keeps nothing for a backward one, and of the loss, at most."""
        outputs = sum(4 * steps * rows * layer.cell.out_size for layer in self._network.layers)
        calls = [parts[0] for parts in self._calls(steps, rows)]
        copies = sum(self._copied_sizes())
        # The pool keeps memory of sizes that are powers of two.
        return 2 * outputs + 4 * steps * rows * copies + 2 * max(calls)

    def _calls(self, steps: int, rows: int) -> Iterator[list[int]]:
        """Yield the bytes of the forward and of the backward invocation, of each layer and of each loss."""
        yield from (scratch.parts(steps, rows) for scratch in self._scratch)
        yield from (scratch.parts(steps, rows * each) for scratch, each in self._losses)

    @property
    def state_size(self) -> int:
        """The numbers of the state of a row."""
        return self._network.state_size

    @property
    def parts(self) -> int:
        """The number of parts of the objective."""
        return len(self._parts)

    @property
    def losses(self) -> int:
        """The number of losses of a step and row."""
        return sum(part.each for part in self._parts)

    def _sums(self, numbers: int, rows: int) -> Iterator[int]:
        """Yield the bytes of the sums over losses, and over the rows of initial states."""
        yield from (sum_bytes(numbers * part.each) for part in self._parts)
        for layer in self._network.layers:
            for _, columns in layer.starts:
                yield sum_bytes(rows, columns.stop - columns.start)

    def _sizes(self) -> Iterator[int]:
        """Yield the size of every array (T, B, size) of a recording."""
        network, layers = self._network, self._network.layers
        yield from (network.in_size, network.out_size)  # the inputs and targets of a segment
        if network.takes_ids:
            yield network.first_size
        for layer in layers:
            reads = [self._size(signal) for signal in layer.reads]
            yield from (size for size, signal in zip(reads, layer.reads, strict=True) if len(signal) > 1)
            yield layer.cell.out_size
            if layer.dropout is not None:
                yield layer.cell.out_size
            yield from reads  # their gradients
            if layer.reverse:
                yield from (*reads, *reads, layer.cell.out_size, layer.cell.out_size)
        if len(network.output) > 1:
            yield network.out_size
        yield network.out_size  # the gradient of the outputs
        for part in self._parts:
            yield from (part.each, part.each)  # the losses and their gradients
        yield from self._copied_sizes()

    def _copied_sizes(self) -> Iterator[int]:
        """Yield the sizes of the outputs and targets that are copied for a loss, and of their gradients."""
        for part in self._parts:
            if len(self._parts) > 1:
                outputs = part.outputs.stop - part.outputs.start
                yield from (outputs, outputs, part.compared.stop - part.compared.start)
            if len(part.cell.in_sizes) > 2:  # one for each input of the loss
                yield from 2 * [part.each * size for size in part.cell.in_sizes[:-1]]

    def _size(self, signal: Signal) -> int:
        """Return the size of the concatenated outputs of a signal."""
        network = self._network
        first = network.first_size
        return sum(first if number < 0 else network.layers[number].cell.out_size for number in signal)
