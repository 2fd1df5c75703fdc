"""Computes the memory of an update's windows, and divides windows into segments so that it stays within a bound.

Of a window that is run in segments (`loss_gradient`) values are kept for one segment at a time. These segments begin at
the window's end and have a number of steps with which every sum is continued where it was left, so that the bits do
not depend on whether, and how, a window is divided.
"""

import math
from collections.abc import Iterator

from cellar.engine import Cell, Signal, TrainingScratch, room
from cellar.nn.execution.array_functions import sum_bytes
from cellar.nn.model.network import Network
from cellar.nn.training.data.batches import cut

WINDOW_BYTES = 256 * 1024 * 1024
"""Most memory for the values of windows that are not divided."""

LEAST_WINDOW_BYTES = 1024 * 1024
"""Windows are not divided further: with shorter segments an update takes much longer."""

SEGMENT_BYTES = 32 * 1024 * 1024
"""Most memory for the values of a segment: they remain in the third-level cache between the two passes."""


class WindowMemory:
    """The memory of the forward and the backward pass of a network, and of its loss, over windows."""

    def __init__(self, network: Network, loss: Cell, most_bytes: int = WINDOW_BYTES) -> None:
        """Divide windows that need more than `most_bytes`."""
        self._network = network
        self._scratch = [TrainingScratch(layer.cell) for layer in network.layers]
        self._loss = TrainingScratch(loss)
        self._loss_inputs = loss.in_sizes
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
        calls = [bytes_ for scratch in (*self._scratch, self._loss) for bytes_ in scratch.parts(steps, rows)]
        return floats + sum(room(length) for length in [*calls, *self._sums(numbers, rows)])

    def forward_bytes(self, steps: int, rows: int) -> int:
        """Return the bytes of a forward pass that keeps nothing for a backward one, and of the loss, at most."""
        outputs = sum(4 * steps * rows * layer.cell.out_size for layer in self._network.layers)
        calls = [scratch.parts(steps, rows)[0] for scratch in (*self._scratch, self._loss)]
        divided = 4 * steps * rows * sum(self._loss_inputs) if len(self._loss_inputs) > 2 else 0
        return 2 * outputs + divided + 2 * max(calls)  # the pool keeps memory of sizes that are powers of two

    @property
    def state_size(self) -> int:
        """The numbers of the state of a row."""
        return self._network.state_size

    def _sums(self, numbers: int, rows: int) -> Iterator[int]:
        """Yield the bytes of the sums over losses, and over the rows of initial states."""
        yield sum_bytes(numbers)
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
        yield from (network.out_size, 1, 1)  # the gradient of the outputs, the losses and their gradients
        if len(self._loss_inputs) > 2:
            yield from 2 * self._loss_inputs[:-1]  # the outputs in parts, and their gradients

    def _size(self, signal: Signal) -> int:
        """Return the size of the concatenated outputs of a signal."""
        network = self._network
        first = network.first_size
        return sum(first if number < 0 else network.layers[number].cell.out_size for number in signal)
