"""Compiles losses as cells: from an output `x` and its `target`, both of one step and row, to one number.

Outputs of a loss with several inputs are divided: of three outputs for each target, every third goes to each input.
If each of n targets has a loss of its own, a step of a row is n rows for the cell.
"""

from dataclasses import dataclass

import numpy as np

from cellar.engine import CommandList, Floats, Ints, Invocation, Workspace
from cellar.nn.execution.array_functions import Arithmetic, constants
from cellar.nn.training.data.batches import cut, lengths_in
from cellar.nn.training.loss import Loss
from cellar.nn.training.objective import LossPart, Objective


@dataclass(frozen=True, slots=True)
class RecordedLoss:
    """The recorded losses of a part of an objective, which read and write fixed arrays."""

    losses: Floats
    """(T, B n, 1), written in every run; 0 after the length of a row. n is 1, or the number of targets."""
    d_losses: Floats
    """(T, B n, 1), read in every run: the gradient of what is minimised with respect to each loss."""
    calls: tuple[Invocation, ...]
    each: int
    """n"""
    columns: slice
    """Their columns in weights (T, B, ...)."""

    def prepare(self, scale: float, lengths: Ints | None, weights: Floats | None = None) -> None:
        """Set the weights of the losses, `scale` times (T, B, ...) if given, and the lengths (B,) if rows have some."""
        if weights is None:
            self.d_losses.fill(scale)
        else:
            columns = weights[:, :, self.columns].reshape(self.d_losses.shape)
            np.multiply(columns, np.float32(scale), out=self.d_losses)
        if lengths is not None:
            for call in self.calls:
                call.begin(repeated(lengths, self.each))

    def weighted(self, weights: Floats | None) -> Floats:
        """Return a copy of the losses, times their weights."""
        return self.losses.copy() if weights is None else weighted(self.losses, weights[:, :, self.columns])


def weighted(losses: Floats, weights: Floats) -> Floats:
    """Return losses times their weights; 0 where the weight is 0, also if the loss is not finite."""
    weights = weights.reshape(losses.shape)
    return np.multiply(losses, weights, where=weights != 0, out=np.zeros_like(losses))


def repeated(lengths: Ints, each: int) -> Ints:
    """Return the lengths of rows, each so often."""
    return lengths if each == 1 else np.repeat(lengths, each)


class CompiledLoss:
    """An objective of `size` outputs and their targets, computed for `steps` steps at once, or for all if None.

    Each step is scored by itself, so `steps` limits the memory and does not change a bit.
    """

    def __init__(self, loss: Loss | Objective, size: int, arithmetic: Arithmetic, steps: int | None = None) -> None:
        self.objective = loss if isinstance(loss, Objective) else Objective.of(loss, size)
        self._parts = tuple(_CompiledPart(part, size, arithmetic) for part in self.objective.parts)
        self._steps = steps

    def measure(
        self, outputs: Floats, targets: Floats, lengths: Ints | None, weights: Floats | None = None
    ) -> list[Floats]:
        """Return the weighted losses (T, B n, 1) of each part; 0 after the length of a row.

        Outputs, targets and weights are (T, B, ...) each; n is 1, or the number of targets.
        """
        found = []
        for part in self._parts:
            segments = cut(len(outputs), self._steps)
            pieces = [part.measure(outputs[s], targets[s], lengths_in(s, lengths)) for s in segments]
            losses = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
            found.append(losses if weights is None else weighted(losses, weights[:, :, part.part.weights]))
        return found

    def record(
        self,
        recording: CommandList,
        outputs: Floats,
        targets: Floats,
        d_outputs: Floats,
        workspace: Workspace | None = None,
        *,
        ragged: bool,
    ) -> list[RecordedLoss]:
        """Record the losses of outputs and targets, and their gradient, which is written to `d_outputs`."""
        workspace = workspace or Workspace(0)
        arrays = recording, outputs, targets, d_outputs
        return [part.record(*arrays, workspace, ragged=ragged) for part in self._parts]


class _CompiledPart:
    """A part of an objective of `size` outputs."""

    def __init__(self, part: LossPart, size: int, arithmetic: Arithmetic) -> None:
        self.part = part
        self._is_all = part.outputs == slice(0, size)
        self._kernel = arithmetic.kernel(part.loss.equations, part.loss.sizes(part.size))
        self._packed = self._kernel.pack(constants(part.loss.parameters(part.size)))
        self._inputs = len(part.loss.inputs)

    def measure(self, outputs: Floats, targets: Floats, lengths: Ints | None) -> Floats:
        """Return the losses (T, B n, 1)."""
        reads = self._divided(self._single(outputs[:, :, self.part.outputs]))
        arrays = [*reads, self._single(targets[:, :, self.part.compared])]
        none = np.empty((arrays[0].shape[1], 0), np.float32)
        lengths = None if lengths is None else repeated(lengths, self.part.each)
        return self._kernel.forward(self._packed, arrays, none, lengths).outputs

    def record(
        self,
        recording: CommandList,
        outputs: Floats,
        targets: Floats,
        d_outputs: Floats,
        workspace: Workspace,
        *,
        ragged: bool,
    ) -> RecordedLoss:
        """Record the losses of the part and their gradient. What is not dense is copied."""

        def copied(array: Floats) -> Floats:
            """Record the copy of an array to memory of its own, and return that."""
            recording.copy(array, copy := workspace.floats(array.shape))
            return copy

        after = list[tuple[Floats, Floats]]()
        if not self._is_all:
            columns = d_outputs[:, :, self.part.outputs]
            outputs, targets = copied(outputs[:, :, self.part.outputs]), copied(targets[:, :, self.part.compared])
            after.append((d_outputs := workspace.floats(columns.shape), columns))
        given = self._single(targets)
        reads, writes = self._divided(self._single(outputs)), self._divided(self._single(d_outputs))
        if self._inputs > 1:
            reads, apart = [copied(part) for part in reads], [workspace.floats(part.shape) for part in writes]
            after, writes = [*zip(apart, writes, strict=True), *after], apart
        losses, d_losses = (workspace.floats((*given.shape[:2], 1)) for _ in range(2))
        none = np.empty((given.shape[1], 0), np.float32)
        forward = self._kernel.bound(
            self._packed, [*reads, given], none, losses, none, ragged=ragged, save=True, workspace=workspace
        )
        back = self._kernel.bound_adjoint(
            self._packed, forward, d_losses, none, [*writes, None], none, want_params=False, workspace=workspace
        )
        recording.call(forward)
        recording.call(back)
        for source, target in after:
            recording.copy(source, target)
        return RecordedLoss(losses, d_losses, (forward, back), self.part.each, self.part.weights)

    def _single(self, array: Floats) -> Floats:
        """Return an array (T, B, n size) as (T, B n, size), for n losses of a step and row."""
        each = self.part.each
        return array if each == 1 else array.reshape(len(array), -1, array.shape[2] // each)

    def _divided(self, outputs: Floats) -> list[Floats]:
        """Return views of outputs (T, B, size), one for each input of the equations."""
        return [outputs] if self._inputs == 1 else [outputs[:, :, part :: self._inputs] for part in range(self._inputs)]
