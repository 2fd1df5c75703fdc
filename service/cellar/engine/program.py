"""A network as the engine sees it: kernels in order, what each reads, and one native call that runs them all.

A call takes a frame from a pool: the descriptors of all kernels, filled in but for what a call changes, and their
scratch memory. Frames are made for a power of two of rows times steps, so a handful serve every shape.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import pairwise

import numpy as np

from cellar.engine.cache import KernelCache
from cellar.engine.call import Ints, check_status, clipped
from cellar.engine.frame import LARGE_BYTES, Frame, FramePlan, Node, Run, Signal
from cellar.engine.layout import COMPUTE_AHEAD, USE_AHEAD
from cellar.engine.packing import Floats
from cellar.engine.words import Status, Word
from cellar.errors import ShapeMismatch

PART_FLOPS = 20_000_000
"""Work of a thread that is worth waking it for: some hundred microseconds."""

RESIDENT_CAPACITY = 64
"""Rows times steps of a call that is small."""


class Program:
    """Kernels that run as one. Threads may share it: every call has a frame of its own."""

    def __init__(
        self, nodes: Sequence[Node], output: Signal, in_size: int, state_size: int, cache: KernelCache
    ) -> None:
        self._plan = FramePlan(tuple(nodes), output, in_size, state_size)
        self.in_size, self.out_size, self.state_size = in_size, self._plan.out_size, state_size
        self._advance, self._step = cache.advance, cache.step
        self._resident = self._plan.frame(RESIDENT_CAPACITY)
        """The frame of small calls; another one is found for those that come while it is in use."""
        self._words = self._resident.words
        self.flops = self._plan.flops
        """Of one row and step."""
        self.ahead_flops = self._plan.ahead_flops
        """How many of them `ahead` can take before the input is there; 0 for whole sequences."""
        self._pools: dict[int, list[Frame]] = {}
        self._pool_of: dict[tuple[int, int], list[Frame]] = {}
        self._made: dict[int, int] = {}
        """Bytes of all frames that were made for a capacity."""

    def run(self, inputs: Floats, state: Floats, lengths: Ints | None = None, ahead: Floats | None = None) -> Run:
        """Step T times: `inputs` (T, B, in), `state` (B, S), `lengths` (B,) or None for T each.

        A row stops at its length, with its state kept and its outputs zero. `ahead` is what `ahead` returned for this
        very state. Arguments are never changed. Raise ShapeMismatch.
        """
        if lengths is None and ahead is None:
            run: Run | None = self._step(self._words, inputs, state)
            if run is not None:
                return run
        try:
            steps, rows, _ = inputs.shape
            pool = self._pool_of[steps, rows]
            frame = pool.pop()
        except (ValueError, KeyError, IndexError):
            steps, rows, pool, frame = self._find_frame(inputs)
        try:
            if lengths is not None:
                lengths = clipped(lengths, steps, rows)
            if ahead is not None:
                ahead = self._fitted_ahead(ahead, rows)
                frame.words[Word.AHEAD] = USE_AHEAD
            outputs = _empty((steps, rows, self.out_size), _FLOAT32)
            after = _empty((rows, self.state_size), _FLOAT32)
            status = self._advance(frame.words, inputs, state, outputs, after, lengths, ahead)
            if not status:
                return _make(Run, (outputs, after, None, None, None))
            if status != Status.UNFIT:
                check_status(status)
                return Run(outputs, after, frame.bad_step[:rows].copy(), frame.bad_kind[:rows] & _KIND)
        finally:
            if ahead is not None:
                frame.words[Word.AHEAD] = 0
            pool.append(frame)
        # Kernels cannot read these arrays as they are laid out; they can read copies.
        fitted = _fitted("inputs", inputs, (steps, rows, self.in_size))
        return self.run(fitted, _fitted("state", state, (rows, self.state_size)), lengths, ahead)

    def run_parts(self, inputs: Floats, state: Floats, lengths: Ints | None, executor: Executor, parts: int) -> Run:
        """Do as `run`, the rows dealt out to this thread and others of the executor: the same bits, sooner.

        What no thread of the executor has begun when this one is done with its own part, this one does too; so the
        executor may be the one that this call runs on. Raise ShapeMismatch.
        """
        rows = state.shape[0]
        if inputs.ndim != 3 or inputs.shape[1] != rows:  # a part would not see that rows are left over
            raise _mismatch("inputs", inputs, f"(T, {rows}, in)")
        if lengths is not None:
            lengths = clipped(lengths, inputs.shape[0], rows)
        edges = [rows * part // parts for part in range(parts + 1)]
        cuts = [slice(*pair) for pair in pairwise(edges) if pair[0] < pair[1]] or [slice(0, 0)]

        def part(cut: slice) -> Run:
            return self.run(inputs[:, cut], state[cut], None if lengths is None else lengths[cut])

        futures = {executor.submit(part, cut): cut for cut in cuts[1:]}
        runs = [part(cuts[0])]
        runs += [part(cut) if future.cancel() else future.result() for future, cut in futures.items()]
        return joined(runs)

    def parts(self, steps: int, rows: int) -> int:
        """Return how many threads are worth their while for so many steps of so many rows."""
        return max(1, min(os.cpu_count() or 1, rows, steps * rows * self.flops // PART_FLOPS))

    def ahead(self, state: Floats) -> Floats:
        """Return the products that need nothing but the state (B, S), a row (B, N) for each, for `run` to begin with.

        Raise ShapeMismatch.
        """
        rows = state.shape[0]
        state = _fitted("state", state, (rows, self.state_size))
        found: Floats = np.empty((rows, self._plan.stash_bytes // 4), np.float32)
        inputs, outputs = _empty((1, rows, self.in_size), _FLOAT32), _empty((1, rows, self.out_size), _FLOAT32)
        after = _empty(state.shape, _FLOAT32)
        _, _, pool, frame = self._find_frame(inputs)
        try:
            frame.words[Word.AHEAD] = COMPUTE_AHEAD
            check_status(self._advance(frame.words, inputs, state, outputs, after, None, found))
        finally:
            frame.words[Word.AHEAD] = 0
            pool.append(frame)
        return found

    @property
    def scratch_bytes(self) -> int:
        """Return the bytes of the frames that are kept for later calls, but for the one of small calls."""
        return sum(frame.size for pool in list(self._pools.values()) for frame in list(pool))

    def _fitted_ahead(self, ahead: Floats, rows: int) -> Floats:
        """Return products computed ahead as the driver reads them. Raise ShapeMismatch."""
        if ahead.shape != (rows, self._plan.stash_bytes // 4):
            raise _mismatch("products computed ahead", ahead, f"({rows}, {self._plan.stash_bytes // 4})")
        return np.ascontiguousarray(ahead, np.float32)

    def _find_frame(self, inputs: Floats) -> tuple[int, int, list[Frame], Frame]:
        """Return steps, rows, where their frames wait, and a frame for them. Raise ShapeMismatch."""
        if inputs.ndim != 3:
            raise _mismatch("inputs", inputs, "(T, B, in)")
        steps, rows, _ = inputs.shape
        capacity = self._plan.capacity(steps, rows)
        pool = self._pools.setdefault(capacity, [])
        if len(self._pool_of) < _SHAPES_KEPT:
            self._pool_of[steps, rows] = pool
        try:
            return steps, rows, pool, pool.pop()
        except IndexError:
            frame = self._plan.frame(capacity)
            self._made[capacity] = self._made.get(capacity, 0) + frame.size
            # Too much, or too many at once: this one is for this call alone.
            return steps, rows, pool if self._made[capacity] <= LARGE_BYTES else [], frame


_SHAPES_KEPT = 4096

_KIND = np.int32(3)
"""What is a fault's kind in its note; the rest is its layer, so that of one step the first layer's stands."""

_FLOAT32 = np.dtype(np.float32)
_empty = np.empty
_make = tuple.__new__


def joined(results: Sequence[Run]) -> Run:
    """Return the results of parts of the rows as one."""
    if all(result.bad_step is None for result in results):
        steps = kinds = None
    else:
        steps = np.concatenate([_or(result.bad_step, result, -1) for result in results])
        kinds = np.concatenate([_or(result.bad_kind, result, 0) for result in results])
    outputs = np.concatenate([result.outputs for result in results], axis=1)
    return Run(outputs, np.concatenate([result.state for result in results]), steps, kinds)


def _or(array: Ints | None, result: Run, value: int) -> Ints:
    return np.full(len(result.state), value, np.int32) if array is None else array


def _fitted(name: str, array: Floats, shape: tuple[int, ...]) -> Floats:
    if array.shape != shape:
        raise _mismatch(name, array, str(shape))
    fitted = np.empty(shape, _FLOAT32)  # for NumPy's one object for float32, which the driver knows it by
    fitted[...] = array
    return fitted


def _mismatch(name: str, array: Floats, expected: str) -> ShapeMismatch:
    return ShapeMismatch(f"{name} have another shape", expected=expected, actual=str(array.shape))
