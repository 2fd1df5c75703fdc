"""A compiled cell: runs the kernels of a cell forward and backward on arrays.

A run is an `Invocation` that is bound to arrays. Kernels hold no state, so several threads may run one cell.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellar.engine.backend.kernel_cache import KernelCache
from cellar.engine.cell import Cell
from cellar.engine.codegen.kernel_source import KernelText
from cellar.engine.execution.arrays import Floats, Ints
from cellar.engine.execution.invocation import CellKernel, GradientBuffers, Invocation, clipped
from cellar.engine.execution.packed_weights import PackedWeights, pack
from cellar.engine.execution.scratch_pool import Workspace
from cellar.engine.passes.memory_plan import HEAD_INDEX, PAIRS, PARAM_GRADIENTS, PHASE, scratch_bytes
from cellar.errors import ShapeMismatch


@dataclass(frozen=True, slots=True)
class Forward:
    """`outputs` (T, B, out), the new `state` (B, S), and for each row its first bad step (-1: none) and its kind.

    Kind 1: a state would not be finite; kind 2: an output.
    """

    outputs: Floats
    state: Floats
    bad_step: Ints
    bad_kind: Ints
    call: Invocation
    """Its scratch memory holds the values that `backward` needs, if they were saved."""


@dataclass(frozen=True, slots=True)
class Backward:
    """Gradients: `d_inputs` (T, B, size) each, `d_state` (B, S) of the initial state, `d_params` by name."""

    d_inputs: tuple[Floats, ...]
    d_state: Floats
    d_params: dict[str, Floats]


class CompiledCell:
    """A cell and its kernels. The kernels for training are compiled when they are first used."""

    def __init__(self, cell: Cell, cache: KernelCache, text: KernelText) -> None:
        self.cell = cell
        self._cache = cache
        self.kernel = CellKernel(cell, cache, text)
        self._training: tuple[CellKernel, CellKernel] | None = None
        self._lock = threading.Lock()

    def _training_kernels(self) -> tuple[CellKernel, CellKernel]:
        with self._lock:
            if self._training is None:
                texts = _training_texts(self.cell)
                self._cache.load([text.text for text in texts])
                forward, backward = (CellKernel(self.cell, self._cache, text) for text in texts)
                self._training = (forward, backward)
            return self._training

    def pack(self, weights: Mapping[str, Floats], *, bfloat16: bool = False, inference: bool = False) -> PackedWeights:
        """Return the weights packed. For inference, and with `bfloat16`, only the packed matrices are kept.

        Raise ShapeMismatch for a parameter that is missing or has another shape.
        """
        packed = pack(self.cell, weights, bfloat16=bfloat16)
        if bfloat16 or inference:
            for stage in self.kernel.memory_plan.groups:
                packed.group(stage)
            packed.release_matrices()
        return packed

    def forward(
        self,
        packed: PackedWeights,
        inputs: Sequence[Floats],
        state: Floats,
        lengths: Ints | None = None,
        *,
        save: bool = False,
    ) -> Forward:
        """Run T steps of B rows. The arguments are never written to.

        `inputs` are (T, B, size) each and `state` is (B, S), float32. A row whose length is at most t is frozen at
        step t: its state stays, its output is 0. With `save` the result can be given to `backward`.
        """
        cell = self.cell
        steps, rows = inputs[0].shape[:2]
        arrays = [_checked(a, (steps, rows, size)) for a, size in zip(inputs, cell.in_sizes, strict=True)]
        before, after = _checked(state, (rows, cell.state_size)), np.empty((rows, cell.state_size), np.float32)
        outputs = np.empty((steps, rows, cell.out_size), np.float32)
        call = self.bound(packed, arrays, before, outputs, after, ragged=lengths is not None, save=save)
        if lengths is not None:
            call.begin(clipped(lengths, steps, rows))
        call.run()
        bad_step, bad_kind = call.faults
        return Forward(outputs, after, bad_step, bad_kind, call)

    def backward(
        self,
        packed: PackedWeights,
        forward: Forward,
        d_outputs: Floats,
        d_state: Floats | None = None,
        *,
        want_params: bool = True,
    ) -> Backward:
        """Run the adjoint back over a forward pass: `d_outputs` (T, B, out), `d_state` (B, S) of the final state.

        Gradients of parameters are sums over all steps and rows. Without `want_params` they are not computed.
        """
        cell, call = self.cell, forward.call
        steps, rows = call.steps, call.rows
        d_outputs = _checked(d_outputs, (steps, rows, cell.out_size))
        after, before = (np.zeros((rows, cell.state_size), np.float32) for _ in range(2))
        after = after if d_state is None else _checked(d_state, after.shape)
        d_inputs = [np.empty((steps, rows, size), np.float32) for size in cell.in_sizes]
        back = self.bound_adjoint(packed, call, d_outputs, after, d_inputs, before, want_params=want_params)
        back.sums.memory[:] = 0
        if call.lengths is not None:
            back.begin(call.lengths)
        back.run()
        return Backward(tuple(d_inputs), before, back.sums.trimmed if want_params else {})

    # --- invocations on fixed arrays, for command lists

    def bound(
        self,
        packed: PackedWeights,
        inputs: Sequence[Floats],
        state: Floats,
        outputs: Floats,
        after: Floats,
        *,
        ragged: bool = False,
        save: bool = False,
        workspace: Workspace | None = None,
    ) -> Invocation:
        """Return an invocation that does `forward` on these arrays, with their contents at the time of each run.

        `outputs` are (T, B, out) and `after` is (B, S); rows of all arrays are dense and may lie anywhere. If it is
        `ragged`, lengths are given by `Invocation.begin` before each run. Scratch memory comes from the workspace.
        """
        steps, rows = inputs[0].shape[:2]
        kernel = self._training_kernels()[0] if save else self.kernel
        call = Invocation(kernel, packed, steps, rows, ragged=ragged, workspace=workspace)
        if not ragged:
            call.begin(None)
        _bind_forward(call, inputs, state, outputs, after)
        return call

    def bound_adjoint(
        self,
        packed: PackedWeights,
        forward: Invocation,
        d_outputs: Floats,
        d_state: Floats,
        d_inputs: Sequence[Floats | None],
        d_before: Floats,
        *,
        want_params: bool = True,
        workspace: Workspace | None = None,
        sums: GradientBuffers | None = None,
    ) -> Invocation:
        """Return an invocation that does `backward` over a bound one; None for an input whose gradient is not wanted.

        `Invocation.sums`, which are `sums` if given, are added to; their contents are undefined at first. Without
        `want_params` the gradients of parameters are not computed, and nothing is written there. Scratch memory comes
        from the workspace.
        """
        ragged, kernel = forward.lengths is not None, self._training_kernels()[1]
        call = Invocation(kernel, packed, forward.steps, forward.rows, ragged=ragged, workspace=workspace)
        if sums is not None:
            call.sums = sums
        if not ragged:
            call.begin(None)
        call.read_tape(forward)
        _bind_backward(call, d_outputs, d_state, d_inputs, d_before, want_params=want_params)
        return call


def compile_cell(cell: Cell, cache: KernelCache) -> CompiledCell:
    """Return the cell with its kernel loaded, compiled if it is not in the cache. Raise CompileFailed."""
    return compile_cells([cell], cache)[0]


def compile_cells(cells: Sequence[Cell], cache: KernelCache, *, training: bool = False) -> list[CompiledCell]:
    """Return several cells compiled at once, which is faster than one after the other. Raise CompileFailed."""
    texts = [cell.forward_kernel(save=False) for cell in cells]
    of_training = [text for cell in cells if training for text in _training_texts(cell)]
    cache.load(list(dict.fromkeys(text.text for text in (*texts, *of_training))))
    return [CompiledCell(cell, cache, text) for cell, text in zip(cells, texts, strict=True)]


def kernel_texts(cells: Sequence[Cell], *, training: bool = False) -> list[str]:
    """Return the texts of all kernels of these cells; with `training`, also of those for training."""
    texts = [cell.forward_kernel(save=False).text for cell in cells]
    if training:
        texts += [text.text for cell in cells for text in _training_texts(cell)]
    return list(dict.fromkeys(texts))


class TrainingScratch:
    """How much scratch memory the kernels of a cell take in training; nothing is compiled for it."""

    def __init__(self, cell: Cell) -> None:
        self._sizes = cell.sizes
        self._plans = [text.memory_plan for text in _training_texts(cell)]
        self.phase = PAIRS if any(len(pairs) > 1 for pairs in cell.adjoint.matrices.values()) else PHASE
        """A segment that is followed by another one has a multiple of this many pairs of step and row."""

    def parts(self, steps: int, rows: int) -> list[int]:
        """Return the bytes of the forward and of the backward invocation."""
        return [scratch_bytes(plan, self._sizes, steps, rows) for plan in self._plans]


def _training_texts(cell: Cell) -> tuple[KernelText, KernelText]:
    return cell.forward_kernel(save=True), cell.backward_kernel()


def _bind_forward(call: Invocation, inputs: Sequence[Floats], state: Floats, outputs: Floats, after: Floats) -> None:
    for index, array in enumerate(inputs):
        call.bind_dense("input", "input_row", "input_time", index, array)
    call.bind_state("carry_in", "carry_in_row", state)
    call.bind_dense("result", "result_row", "result_time", 0, outputs)
    call.bind_state("carry_out", "carry_out_row", after)


def _bind_backward(
    call: Invocation,
    d_outputs: Floats,
    d_state: Floats,
    d_inputs: Sequence[Floats | None],
    d_before: Floats,
    *,
    want_params: bool,
) -> None:
    call.bind_dense("input", "input_row", "input_time", 0, d_outputs)
    call.bind_state("carry_in", "carry_in_row", d_state)
    call.bind_state("carry_out", "carry_out_row", d_before)
    grad_mask = sum(1 << index for index, array in enumerate(d_inputs) if array is not None)
    call.descriptor[HEAD_INDEX["grad_mask"]] = grad_mask + (PARAM_GRADIENTS if want_params else 0)
    if want_params:
        call.bind_sums()
    for index, (array, size) in enumerate(zip(d_inputs, call.kernel.cell.in_sizes, strict=True)):
        # A loop that computes a wanted result may store another one too: all its rows go to one row, which is dropped.
        unwanted = np.broadcast_to(np.empty(size, np.float32), (call.steps, call.rows, size))
        call.bind_dense("result", "result_row", "result_time", index, unwanted if array is None else array)


def _checked(array: Floats, shape: tuple[int, ...]) -> Floats:
    if array.shape != shape:
        raise ShapeMismatch("array", expected=str(shape), actual=str(array.shape))
    return np.ascontiguousarray(array, np.float32)
