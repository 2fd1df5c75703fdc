"""A command list: kernels and copies between fixed arrays, recorded once and run in order by one native call.

The contents of the arrays may change between runs, their addresses must not.
"""

import numpy as np

from cellar.engine.backend.kernel_cache import KernelCache
from cellar.engine.execution.arrays import Floats, Ints, Words, address
from cellar.engine.execution.invocation import Invocation, check_status
from cellar.engine.native_calls.command_list_call import CommandField, CommandKind


class CommandList:
    """Commands in order. One thread at a time may run it."""

    def __init__(self, cache: KernelCache) -> None:
        self._play = cache.run_commands
        self._steps: list[list[int]] = []
        self._alive: list[object] = []
        """The objects whose memory the commands use."""
        self._words: Words | None = None

    def __len__(self) -> int:
        return len(self._steps)

    def call(self, call: Invocation) -> None:
        """Run a call, bound to arrays that stay where they are.

        Raise ValueError if an array is missing that the kernel would read or write.
        """
        call.check_bound()
        self._append([CommandKind.CALL, call.kernel.code.address, address(call.descriptor)], call)

    def copy(self, source: Floats, target: Floats) -> None:
        """Copy floats to an array of the same shape of at most three axes, or of one that they are spread over."""
        self._move(CommandKind.COPY, source, target)

    def flush(self, array: Floats) -> None:
        """Replace magnitudes below 2^-63 by +0. The last axis is dense."""
        self._move(CommandKind.FLUSH, array, array)

    def add(self, source: Floats, target: Floats) -> None:
        """Add to an array another one of its shape. The last axis is dense in both."""
        self._move(CommandKind.ADD, source, target)

    def reverse(self, source: Floats, target: Floats, lengths: Ints | None) -> None:
        """Copy (T, B, size) with the first steps of each row in reverse order, as many as its length; None: all.

        `lengths` (B,) are read in every run. The last axis is dense in both.
        """
        if lengths is None:
            self.copy(source[::-1], target)
        elif target.size:
            sizes = [*target.shape, *source.strides, *target.strides]
            step = [CommandKind.REVERSE, address(source), address(target), *sizes, address(lengths)]
            self._append(step, (source, target, lengths))

    def run(self, count: int | None = None) -> bool:
        """Run all commands, or the first `count`. Return False if a kernel found a fault; the following ones run too.

        Raise StartupError in a thread that does not compute with subnormal numbers.
        """
        if self._words is None:
            self._words = np.array([len(self._steps), *(word for step in self._steps for word in step)], np.int64)
        self._words[0] = len(self._steps) if count is None else count
        status = self._play(address(self._words))
        check_status(status)
        return status == 0

    def _move(self, kind: CommandKind, source: Floats, target: Floats) -> None:
        if target.size == 0:
            return
        alive = (source, target)
        source = np.broadcast_to(source, target.shape)
        if source.flags.c_contiguous and target.flags.c_contiguous:
            source, target = source.reshape(-1), target.reshape(-1)
        before = 3 - target.ndim
        if before < 0:
            raise ValueError(f"a copy of {target.ndim} axes")
        if kind is not CommandKind.COPY and (source.strides[-1], target.strides[-1]) != (4, 4):
            raise ValueError("only a copy may have strides along its last axis")
        sizes = [
            [fill] * before + list(numbers)
            for fill, numbers in ((1, target.shape), (0, source.strides), (0, target.strides))
        ]
        self._append([kind, address(source), address(target), *sizes[0], *sizes[1], *sizes[2]], alive)

    def _append(self, step: list[int], alive: object) -> None:
        self._steps.append(step + [0] * (CommandField.COUNT - len(step)))
        self._alive.append(alive)
        self._words = None
