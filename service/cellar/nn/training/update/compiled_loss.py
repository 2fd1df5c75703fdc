"""A loss as a compiled cell: from an output `x` and its `target`, both of one step and row, to one number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import CommandList, Forward, Invocation
from cellar.nn.execution.array_functions import Arithmetic, scalars
from cellar.nn.execution.segmented_backprop import cut, lengths_in
from cellar.nn.training.loss import Loss

Array = NDArray[np.float32]
Lengths = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Scored:
    """The losses (T, B, 1) of every step and row, and the gradient (T, B, O) of their scaled sum."""

    losses: Array
    d_outputs: Array


@dataclass(frozen=True, slots=True)
class Bound:
    """A loss in a recording: the losses (T, B, 1), their gradients, which the caller fills in, and its calls."""

    losses: Array
    d_losses: Array
    calls: tuple[Invocation, ...]


class CompiledLoss:
    """A loss, ready to score `size` outputs against as many targets, `steps` steps at once; None: all.

    Each step is scored by itself, so `steps` bounds the memory and changes no bit.
    """

    def __init__(self, loss: Loss, size: int, arithmetic: Arithmetic, steps: int | None = None) -> None:
        self.forecasts = loss.forecasts
        self._steps = steps
        self._kernel = arithmetic.kernel(loss.equations, {"x": size, "target": size})
        self._packed = self._kernel.pack(scalars(loss.scalars()))

    def measure(self, outputs: Array, targets: Array, lengths: Lengths | None) -> Array:
        """Return the losses (T, B, 1) of outputs against targets, (T, B, size) each; 0 past a row's length."""
        segments = cut(len(outputs), self._steps)
        parts = [(outputs[s], targets[s], lengths_in(s, lengths)) for s in segments]
        return _joined([self._forward(*part, save=False).outputs for part in parts])

    def score(self, outputs: Array, targets: Array, lengths: Lengths | None, scale: float) -> Scored:
        """Return the losses, and the gradient of scale * sum(losses)."""
        segments = cut(len(outputs), self._steps)
        parts = [self._score(outputs[s], targets[s], lengths_in(s, lengths), scale) for s in segments]
        return Scored(_joined([part.losses for part in parts]), _joined([part.d_outputs for part in parts]))

    def record(
        self, recording: CommandList, outputs: Array, targets: Array, d_outputs: Array, *, ragged: bool
    ) -> "Bound":
        """Record `score`, the gradient written to `d_outputs`, between arrays that stay where they are."""
        steps, rows = targets.shape[:2]
        losses, d_losses = (np.zeros((steps, rows, 1), np.float32) for _ in range(2))
        none = np.empty((rows, 0), np.float32)
        forward = self._kernel.bound(self._packed, [outputs, targets], none, losses, none, ragged=ragged, save=True)
        back = self._kernel.bound_adjoint(
            self._packed, forward, d_losses, none, [d_outputs, None], none, want_params=False
        )
        recording.call(forward)
        recording.call(back)
        return Bound(losses, d_losses, (forward, back))

    def _score(self, outputs: Array, targets: Array, lengths: Lengths | None, scale: float) -> Scored:
        result = self._forward(outputs, targets, lengths, save=True)
        assert result.tape is not None
        d_losses = np.full(result.outputs.shape, scale, dtype=np.float32)
        back = self._kernel.backward(self._packed, result.tape, d_losses, want_params=False)
        return Scored(result.outputs, back.d_inputs[0])

    def _forward(self, outputs: Array, targets: Array, lengths: Lengths | None, *, save: bool) -> Forward:
        state = np.empty((outputs.shape[1], 0), dtype=np.float32)
        return self._kernel.forward(self._packed, [outputs, targets], state, lengths, save=save)


def _joined(parts: Sequence[Array]) -> Array:
    """Return the results of the segments as one array."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
