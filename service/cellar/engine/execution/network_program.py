"""Runs all layers of a network in one native call, or divided by rows among several threads.

A call takes a frame from a pool: the descriptors of all kernels, filled in except for the words that change with a
call, and their scratch memory. Frames are made for powers of two of rows times steps, so a few serve every shape.
"""

import struct
from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from cellar.engine.backend.kernel_cache import KernelCache
from cellar.engine.execution.arguments import (
    FLOAT32,
    Mask,
    States,
    dense_copy,
    dense_lengths,
    dense_reset,
    dense_state,
    joined_state,
    shape_mismatch,
)
from cellar.engine.execution.arrays import Floats, Ints, Words, address
from cellar.engine.execution.invocation import check_status
from cellar.engine.execution.network_frame import new_frame, weight_addresses
from cellar.engine.execution.network_plan import (
    LARGE_BYTES,
    NetworkFrame,
    NetworkPlan,
    NodeWeights,
    PlanNode,
    Run,
    Signal,
)
from cellar.engine.native_calls.call_header import Status
from cellar.errors import ShapeMismatch
from cellar.machine import threads

PART_FLOPS = 20_000_000
"""Least work for a further thread: some hundred microseconds."""

THREADS = threads()
"""Processors that this process may use. Read once, because the system call takes longer than a step."""


class _Shape(NamedTuple):
    """For calls with inputs of one shape: the pool of their frames, and the shapes of their results."""

    pool: list[NetworkFrame]
    outputs: tuple[int, int, int]
    state: tuple[int, int]


class NetworkCode:
    """The kernels of a network that run as one, without weights, and the memory of their calls.

    All models of the network share it. Thread-safe: every call has a frame of its own.
    """

    def __init__(
        self, nodes: Sequence[PlanNode], output: Signal, in_size: int, state_size: int, cache: KernelCache
    ) -> None:
        self.plan = NetworkPlan(tuple(nodes), output, in_size, state_size)
        self.in_size, self.out_size, self.state_size = in_size, self.plan.out_size, state_size
        self._advance = cache.advance
        self.flops = self.plan.flops
        """Of one row and step."""
        self._pools: dict[int, list[NetworkFrame]] = {}
        """By capacity. The frame of small calls is made with the code, so that no step has to make it."""
        self._shapes: dict[tuple[int, ...], _Shape] = {}
        """By the shape of the inputs."""
        self._made: dict[int, int] = {}
        """Bytes of all frames that were made for a capacity."""
        shape, frame = self._find_frame((1, 1, in_size))
        shape.pool.append(frame)

    @property
    def size_bytes(self) -> int:
        """The memory of the frames that are kept."""
        return sum(min(size, LARGE_BYTES) for size in self._made.values())

    def run(
        self,
        models: bytes,
        inputs: Floats,
        state: States,
        lengths: Ints | None = None,
        reset: Mask | None = None,
    ) -> Run:
        """Step T times: `inputs` (T, B, in), `state` (B, S) or its records, `lengths` (B,) or None for T each.

        `models` are the joined `NetworkProgram.rows` of the models whose rows these are, one after the other. A row
        stops at its length, with its state kept and its outputs zero. Rows under the mask `reset` (B,) begin with the
        network's initial state, whatever `state` says. Records are read where they are if they come as a tuple of
        bytes. Arguments are never changed. Raise ShapeMismatch.
        """
        try:
            shape = self._shapes[inputs.shape]
            frame = shape.pool.pop()
        except (KeyError, IndexError):
            shape, frame = self._find_frame(inputs.shape)
        pool, outputs_shape, state_shape = shape
        try:
            outputs, after = _empty(outputs_shape, FLOAT32), _empty(state_shape, FLOAT32)
            status = self._advance(frame.words, models, inputs, state, lengths, reset, outputs, after)
            if not status:
                return _make(Run, (outputs, after, None, None))
            steps, rows, _ = inputs.shape
            if status != Status.BAD_ARGUMENTS:
                check_status(status)
                return Run(outputs, after, frame.bad_step[:rows].copy(), frame.bad_kind[:rows] & _KIND)
        finally:
            pool.append(frame)
        # Kernels cannot read these arguments as they are laid out: run on copies.
        return self.run(
            models,
            dense_copy("inputs", inputs, (steps, rows, self.in_size)),
            dense_state(state, rows, self.state_size),
            None if lengths is None else dense_lengths(lengths, steps, rows),
            None if reset is None else dense_reset(reset, rows),
        )

    def _find_frame(self, shape: tuple[int, ...]) -> tuple[_Shape, NetworkFrame]:
        """Return pool and shapes for calls with inputs (T, B, in) of this shape, and a frame. Raise ShapeMismatch."""
        if len(shape) != 3 or shape[2] != self.in_size:
            expected = f"(T, B, {self.in_size})"
            raise ShapeMismatch("the inputs have another shape", expected=expected, actual=str(shape))
        steps, rows, _ = shape
        capacity = self.plan.capacity(steps, rows)
        pool = self._pools.setdefault(capacity, [])
        found = _Shape(pool, (steps, rows, self.out_size), (rows, self.state_size))
        if len(self._shapes) < _SHAPES_KEPT:
            self._shapes[shape] = found
        try:
            return found, pool.pop()
        except IndexError:
            frame = new_frame(self.plan, capacity)
            self._made[capacity] = self._made.get(capacity, 0) + frame.size
            # Beyond the limit a frame is used for this call only.
            return found if self._made[capacity] <= LARGE_BYTES else found._replace(pool=[]), frame


class NetworkProgram:
    """The code of a network with the weights of one model. Thread-safe."""

    __slots__ = ("_weights", "all_rows", "code", "words")

    def __init__(self, code: NetworkCode, weights: Sequence[NodeWeights]) -> None:
        nodes = zip(code.plan.nodes, weights, strict=True)
        self._set(code, np.array([word for pair in nodes for word in weight_addresses(*pair)], np.int64), weights)

    @classmethod
    def of_words(cls, code: NetworkCode, words: Words, weights: object) -> Self:
        """Return the program with addresses of weights as `words` of another program has them."""
        program = cls.__new__(cls)
        program._set(code, words, weights)
        return program

    def _set(self, code: NetworkCode, words: Words, weights: object) -> None:
        self.code = code
        self.words = words
        """The addresses of weights and products, for the words of a frame that depend on the model."""
        self._weights = weights
        """The memory that the kernels read."""
        self.all_rows = self.rows(0)
        """Of a call that has rows of this model only."""

    def rows(self, count: int) -> bytes:
        """Return the words that give this model `count` rows of a call, or all that are left if it is the last."""
        return _PAIR.pack(count, address(self.words))

    def run(self, inputs: Floats, state: States, lengths: Ints | None = None, reset: Mask | None = None) -> Run:
        """Do `NetworkCode.run` with rows of this model only."""
        return self.code.run(self.all_rows, inputs, state, lengths, reset)

    def run_parts(
        self,
        inputs: Floats,
        state: States,
        executor: Executor,
        parts: int,
        *,
        lengths: Ints | None = None,
        reset: Mask | None = None,
    ) -> Run:
        """Do the same as `run`, with the rows divided among this thread and threads of the executor. Bits are the same.

        Parts that no thread of the executor has begun when this thread has finished its own are run by this thread,
        so the executor may be the one that this call runs on. Raise ShapeMismatch.
        """
        if inputs.ndim != 3:
            raise shape_mismatch("inputs", inputs, "(T, B, in)")
        if not isinstance(state, np.ndarray):  # a part may end within a record
            state = joined_state(tuple(state), inputs.shape[1], self.code.state_size)
        rows = state.shape[0]
        if inputs.shape[1] != rows:  # a part would not see that rows are left over
            raise shape_mismatch("inputs", inputs, f"(T, {rows}, in)")
        for name, array in (("lengths", lengths), ("rows to reset", reset)):
            if array is not None and array.shape[:1] != (rows,):
                raise shape_mismatch(name, array, f"{rows} rows")
        edges = [rows * part // parts for part in range(parts + 1)]
        cuts = [slice(*pair) for pair in pairwise(edges) if pair[0] < pair[1]] or [slice(0, 0)]

        def part(cut: slice) -> Run:
            """Run the rows of one part."""
            mine = (None if array is None else array[cut] for array in (lengths, reset))
            return self.run(inputs[:, cut], state[cut], *mine)  # type: ignore[arg-type]  # each is of its own type

        futures = {executor.submit(part, cut): cut for cut in cuts[1:]}
        runs = [part(cuts[0])]
        runs += [part(cut) if future.cancel() else future.result() for future, cut in futures.items()]
        return joined_runs(runs)

    def parts(self, steps: int, rows: int) -> int:
        """Return the number of threads to use for this number of steps and rows."""
        return max(1, min(THREADS, rows, steps * rows * self.code.flops // PART_FLOPS))


_PAIR = struct.Struct("=2q")

_SHAPES_KEPT = 4096

_KIND = np.int32(3)
"""Mask of a fault's kind; the higher bits are its layer, so of the faults of one step the first layer's is kept."""

_empty = np.empty
_make = tuple.__new__


def joined_runs(results: Sequence[Run]) -> Run:
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
