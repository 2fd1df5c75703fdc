"""Compiles a loss as a cell: from an output `x` and its `target`, both of one step and row, to one number.

Outputs of a loss with several inputs are divided: of three outputs for each target, every third goes to each input.
"""

from dataclasses import dataclass

import numpy as np

from cellar.engine import CommandList, Floats, Ints, Invocation, Workspace
from cellar.nn.execution.array_functions import Arithmetic, constants
from cellar.nn.training.data.batches import cut, lengths_in
from cellar.nn.training.loss import Loss


@dataclass(frozen=True, slots=True)
class RecordedLoss:
    """A recorded loss, which reads and writes fixed arrays."""

    losses: Floats
    """(T, B, 1), written in every run; 0 after the length of a row."""
    d_losses: Floats
    """(T, B, 1), read in every run: the gradient of what is minimised with respect to each loss."""
    calls: tuple[Invocation, ...]

    def prepare(self, scale: float, lengths: Ints | None, weights: Floats | None = None) -> None:
        """Set the weight of each loss, `scale` times (T, B, 1) if given, and the lengths (B,) if rows have lengths."""
        if weights is None:
            self.d_losses.fill(scale)
        else:
            np.multiply(weights, np.float32(scale), out=self.d_losses)
        if lengths is not None:
            for call in self.calls:
                call.begin(lengths)


def weighted(losses: Floats, weights: Floats | None) -> Floats:
    """Return losses times their weights; 0 where the weight is 0, also if the loss is not finite."""
    if weights is None:
        return losses
    return np.multiply(losses, weights, where=weights != 0, out=np.zeros_like(losses))


class CompiledLoss:
    """A loss of `size` outputs and their targets, computed for `steps` steps at once, or for all if None.

    Each step is scored by itself, so `steps` limits the memory and does not change a bit.
    """

    def __init__(self, loss: Loss, size: int, arithmetic: Arithmetic, steps: int | None = None) -> None:
        self.forecasts = loss.forecasts
        self._steps = steps
        self._kernel = arithmetic.kernel(loss.equations, loss.sizes(size))
        self.cell = self._kernel.cell
        self._packed = self._kernel.pack(constants(loss.parameters(size)))
        self._inputs = len(loss.inputs)

    def measure(self, outputs: Floats, targets: Floats, lengths: Ints | None) -> Floats:
        """Return the losses (T, B, 1) of outputs and targets, (T, B, ...) each; 0 after the length of a row."""
        segments = cut(len(outputs), self._steps)
        none = np.empty((outputs.shape[1], 0), np.float32)
        parts = [
            self._kernel.forward(
                self._packed, [*self._divided(outputs[s]), targets[s]], none, lengths_in(s, lengths)
            ).outputs
            for s in segments
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def record(
        self,
        recording: CommandList,
        outputs: Floats,
        targets: Floats,
        d_outputs: Floats,
        workspace: Workspace | None = None,
        *,
        ragged: bool,
    ) -> RecordedLoss:
        """Record the losses of outputs and targets, and their gradient, which is written to `d_outputs`."""
        steps, rows = targets.shape[:2]
        workspace = workspace or Workspace(0)
        losses, d_losses = (workspace.floats((steps, rows, 1)) for _ in range(2))
        none = np.empty((rows, 0), np.float32)
        reads, writes = self._divided(outputs), self._divided(d_outputs)
        if self._inputs > 1:
            dense = [workspace.floats(part.shape) for part in (*reads, *writes)]
            for part, copy in zip(reads, dense, strict=False):
                recording.copy(part, copy)
            reads, writes = dense[: self._inputs], dense[self._inputs :]
        forward = self._kernel.bound(
            self._packed, [*reads, targets], none, losses, none, ragged=ragged, save=True, workspace=workspace
        )
        back = self._kernel.bound_adjoint(
            self._packed, forward, d_losses, none, [*writes, None], none, want_params=False, workspace=workspace
        )
        recording.call(forward)
        recording.call(back)
        for part, copy in zip(self._divided(d_outputs), writes, strict=True) if self._inputs > 1 else ():
            recording.copy(copy, part)
        return RecordedLoss(losses, d_losses, (forward, back))

    def _divided(self, outputs: Floats) -> list[Floats]:
        """Return views of outputs (T, B, size), one for each input of the equations."""
        return [outputs] if self._inputs == 1 else [outputs[:, :, part :: self._inputs] for part in range(self._inputs)]
