"""A compiled cell: the calls that run its kernels.

A call is leased with its descriptor and its scratch memory, is bound to arrays, and runs the kernel once; then it waits
for the next run of its shape. Kernels hold no state, so several threads may run one cell. Nothing is written to the
arrays of the caller.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellar.engine.cache import KernelCache
from cellar.engine.call import Call, Ints, Kernel, Lease, lease
from cellar.engine.cell import Cell
from cellar.engine.codegen import KernelText, backward_text, forward_text
from cellar.engine.layout import AT
from cellar.engine.packing import Floats, Packed, pack
from cellar.errors import ShapeMismatch


@dataclass(frozen=True, slots=True)
class Tape:
    """What a forward pass left behind."""

    steps: int
    rows: int
    lengths: Ints | None
    lease: Lease
    """Of the call whose scratch memory holds the taped values."""


@dataclass(frozen=True, slots=True)
class Forward:
    """`outputs` (T, B, out), the new `state` (B, S), and for each row its first bad step (-1: none) and its kind.

    Kind 1: a state would not be finite; kind 2: an output. `tape` is what `backward` needs, if it was asked for.
    """

    outputs: Floats
    state: Floats
    bad_step: Ints
    bad_kind: Ints
    tape: Tape | None


@dataclass(frozen=True, slots=True)
class Backward:
    """Gradients: `d_inputs` (T, B, size) each, `d_state` (B, S) of the initial state, `d_params` by name."""

    d_inputs: tuple[Floats, ...]
    d_state: Floats
    d_params: dict[str, Floats]


class CompiledCell:
    """A cell and its kernels. The kernels for training are compiled when they are first used."""

    def __init__(self, cell: Cell, cache: KernelCache) -> None:
        self.cell = cell
        self._cache = cache
        self.kernel = Kernel(cell, cache, forward_text(cell, save=False))
        self._training: tuple[Kernel, Kernel] | None = None
        self._lock = threading.Lock()

    def _training_kernels(self) -> tuple[Kernel, Kernel]:
        with self._lock:
            if self._training is None:
                texts = _training_texts(self.cell)
                self._cache.load([text.text for text in texts])
                forward, backward = (Kernel(self.cell, self._cache, text) for text in texts)
                self._training = (forward, backward)
            return self._training

    def pack(self, weights: Mapping[str, Floats], *, halves: bool = False) -> Packed:
        """Return the weights packed, matrices with `halves` as bfloat16, which serves inference only.

        Raise ShapeMismatch for a parameter that is missing or has another shape.
        """
        return pack(self.cell, weights, halves=halves)

    def forward(
        self,
        packed: Packed,
        inputs: Sequence[Floats],
        state: Floats,
        lengths: Ints | None = None,
        *,
        save: bool = False,
    ) -> Forward:
        """Run T steps of B rows.

        `inputs` are (T, B, size) each and `state` is (B, S), float32. A row whose length is at most t is frozen at
        step t: its state stays, its output is 0. With `save` the result carries the tape for `backward`.
        """
        cell = self.cell
        steps, rows = inputs[0].shape[:2]
        kernel = self._training_kernels()[0] if save else self.kernel
        leased = lease(kernel, packed, steps, rows, lengths)
        call = leased.call
        for index, (array, size) in enumerate(zip(inputs, cell.in_sizes, strict=True)):
            call.bind_dense("staged", "staged_row", "staged_time", index, _checked(array, (steps, rows, size)))
        call.bind_state("carry_in", "carry_in_row", _checked(state, (rows, cell.state_size)))
        outputs = _bind_result(call, 0, np.empty((steps, rows, cell.out_size), np.float32))
        following = call.bind_state("carry_out", "carry_out_row", np.empty((rows, cell.state_size), np.float32))
        call.run()
        bad_step, bad_kind = call.faults.copy()
        tape = Tape(steps, rows, call.lengths, leased) if save else None
        return Forward(outputs, following, bad_step, bad_kind, tape)

    def backward(
        self,
        packed: Packed,
        tape: Tape,
        d_outputs: Floats,
        d_state: Floats | None = None,
        *,
        into: Mapping[str, Floats] | None = None,
        want_inputs: bool = True,
    ) -> Backward:
        """Run the adjoint back over a forward pass: `d_outputs` (T, B, out), `d_state` (B, S) of the final state.

        Gradients of parameters are sums over all steps and rows; with `into` they go on from the sums given. Without
        `want_inputs` those of the inputs are not computed, and `d_inputs` is empty.
        """
        cell = self.cell
        steps, rows = tape.steps, tape.rows
        leased = self._backward_lease(packed, tape)
        call = leased.call
        d_outputs = _checked(d_outputs, (steps, rows, cell.out_size))
        call.bind_dense("staged", "staged_row", "staged_time", 0, d_outputs)
        after = np.zeros((rows, cell.state_size), np.float32) if d_state is None else d_state
        call.bind_state("carry_in", "carry_in_row", _checked(after, (rows, cell.state_size)))
        wanted = [want_inputs] * len(cell.in_sizes)
        d_inputs = tuple(
            _bind_result(call, index, np.empty((steps, rows, size) if want else (1, 1, size), np.float32))
            for index, (size, want) in enumerate(zip(cell.in_sizes, wanted, strict=True))
        )
        call.descriptor[AT["wants"]] = sum(1 << index for index, want in enumerate(wanted) if want)
        before = call.bind_state("carry_out", "carry_out_row", np.empty((rows, cell.state_size), np.float32))
        call.sums.begin(into)
        call.run()
        return Backward(d_inputs if want_inputs else (), before, call.sums.copied())

    def _backward_lease(self, packed: Packed, tape: Tape) -> Lease:
        """Return a call of the adjoint on what a forward pass left."""
        leased = lease(self._training_kernels()[1], packed, tape.steps, tape.rows, tape.lengths)
        call, forward = leased.call, tape.lease.call
        if call.tape_of is not forward:
            for index, (place, stride) in enumerate(forward.places):
                call.point("tape", index, place)
                call.point("tape_row", index, stride)
            call.tape_of = forward
        return leased


def compile_cell(cell: Cell, cache: KernelCache) -> CompiledCell:
    """Return the cell with its kernel loaded, compiling it if nobody has yet. Raise CompileFailed."""
    return CompiledCell(cell, cache)


def compile_cells(cells: Sequence[Cell], cache: KernelCache, *, training: bool = False) -> list[CompiledCell]:
    """Return several cells compiled at once, which is faster than one after the other. Raise CompileFailed."""
    cache.load(kernel_texts(cells, training=training))
    return [CompiledCell(cell, cache) for cell in cells]


def kernel_texts(cells: Sequence[Cell], *, training: bool = False) -> list[str]:
    """Return the texts of all kernels of these cells; with `training`, of those that training needs besides."""
    texts = [forward_text(cell, save=False).text for cell in cells]
    if training:
        texts += [text.text for cell in cells for text in _training_texts(cell)]
    return list(dict.fromkeys(texts))


def _training_texts(cell: Cell) -> tuple[KernelText, KernelText]:
    return forward_text(cell, save=True), backward_text(cell)


def _bind_result(call: Call, index: int, array: Floats) -> Floats:
    """Bind a result to an array (T, B, size), or to one row that all share if nobody wants it."""
    strides = array.strides if array.shape[:2] == (call.steps, call.rows) else (0, 0)
    call.point("result_row", index, strides[1])
    call.point("result_time", index, strides[0])
    return call.bind("result", index, array)


def _checked(array: Floats, shape: tuple[int, ...]) -> Floats:
    if array.shape != shape:
        raise ShapeMismatch("array", expected=str(shape), actual=str(array.shape))
    return np.ascontiguousarray(array, np.float32)
