"""Computes the loss of a batch and its gradient, in one native call that is recorded once for each shape of batch.

A long window is run in segments. Values are kept for one segment at a time::

    forward   |---->|---->|          keeps the state before each segment
    back                  |---->|    the last segment, with all its values kept,
                          |<----|    and the backward pass over it
                    |---->|
                    |<----|          the one before it again, and so on, to the first

The segments are chosen by `WindowMemory`, and every sum is continued from segment to segment: all bits are those of
the window in one piece.

With `recompute` they have that many steps. Outputs, states and the gradients of the states have the same bits however
a window is cut. So has the gradient of a matrix, unless equations read the matrix twice: then some steps of one
product are added before some of the other. Gradients of vectors and scalars are summed for each segment, and these
sums are added from the last segment to the first, so their rounding depends on the cut. The same cut gives the same
bits.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from cellar.engine import Floats, Workspace
from cellar.nn.execution.backprop import Backprop, PassFault, PassMemory
from cellar.nn.execution.dropout import Masks
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.data.batches import Batch
from cellar.nn.training.update.compiled_loss import CompiledLoss, RecordedLoss
from cellar.nn.training.update.weight_vector import Trainee, named
from cellar.nn.training.update.window_memory import WindowMemory

SHAPES_KEPT = 32
"""Shapes of batches whose recordings are kept. A run that carries its state has six: for full and for smaller batches,
the first window, the following ones and the last one. Of windows in segments, each has up to four more."""

DrawMasks = Callable[[slice], Masks]
"""Return the masks of dropout for some steps of a window, each time the same."""


class Learnt(NamedTuple):
    """The result for a batch: its loss and gradient. The gradient is valid until the next one is computed."""

    gradient: Floats
    """(n,) of the scaled sum of the losses, with respect to all weights."""
    losses: list[float]
    """The sum of the losses of each part of the objective, each times its weight."""
    state: Floats
    """(B, state_size) after the last step of each row."""


class ForwardFault(Exception):
    """The forward pass has given a number that is not finite."""

    def __init__(self, fault: PassFault, first: int) -> None:
        super().__init__(fault)
        self.kind = fault.kind
        self.fault = PassFault(fault.kind, first + fault.step, fault.row)
        self.place = f"step {first + fault.step + 1} of the window, row {fault.row + 1} of the batch"


class RecordedUpdate:
    """A recording of the forward pass, the loss and the backward pass for batches with the shape of `batch`."""

    def __init__(
        self,
        compiled: CompiledNetwork,
        trainee: Trainee,
        loss: CompiledLoss,
        batch: Batch,
        gradients: dict[str, Floats],
        memory: PassMemory,
        *,
        is_segment: bool,
        begins: bool,
        joins: bool,
        frozen: Collection[str] = (),
    ) -> None:
        """Write `gradients` by name, or add to them in a segment. The last three are those of `Backprop`."""
        steps, rows, _ = batch.inputs.shape
        ragged, workspace = batch.lengths is not None, memory.workspace
        # All batches of one shape are in the memory of this one.
        self._inputs, self._targets = batch.inputs, batch.targets
        if is_segment:
            self._inputs, self._targets = (workspace.floats(data.shape) for data in (batch.inputs, batch.targets))
        self._commands = compiled.arithmetic.recording()
        ways: dict[str, Any] = {"ragged": ragged, "accumulate": is_segment, "joins": joins, "frozen": frozen}
        self.backprop = Backprop(trainee.network, self._commands, self._inputs, gradients, memory=memory, **ways)
        outputs = self.backprop.record_forward()
        self._forward_steps = len(self._commands)
        d_outputs = workspace.floats((steps, rows, compiled.network.out_size))
        # Others use the memory in between, and the loss writes neither steps before the scored ones nor after a row.
        self._commands.copy(np.zeros((), np.float32), d_outputs if ragged else d_outputs[: batch.skip])
        self._losses = list[RecordedLoss]()
        self._sums: Floats = np.zeros((len(loss.objective.parts), 1), np.float32)
        if len(self._targets):
            read, written, commands = outputs[batch.skip :], d_outputs[batch.skip :], self._commands
            self._losses = loss.record(commands, read, self._targets, written, workspace, ragged=ragged)
            for part, total in zip(self._losses, self._sums, strict=True):
                compiled.arithmetic.record_sums(commands, part.losses.reshape(1, -1), total, workspace)
        self.backprop.record_backward(d_outputs, compiled.arithmetic, begins=begins)

    @property
    def sums(self) -> list[float]:
        """Return the sum of the losses of each part, without weights."""
        found: list[float] = self._sums[:, 0].tolist()
        return found

    def losses(self, weights: Floats | None) -> list[Floats]:
        """Return copies of the losses of each part, times their weights; no part if no step is scored."""
        return [part.weighted(weights) for part in self._losses]

    def forward(self, batch: Batch, before: Floats, masks: DrawMasks, first: int) -> Floats:
        """Return the state after a batch whose rows begin with the states `before`. Raise as `run`."""
        self._prepare(batch, before, masks, first)
        self._run(self._forward_steps)
        return self.backprop.after.copy()

    def run(
        self,
        batch: Batch,
        before: Floats,
        masks: DrawMasks,
        scales: Sequence[float],
        *,
        first: int = 0,
        d_after: Floats | None = None,
    ) -> None:
        """Compute losses and gradients of a batch whose first step is the step `first` of its window.

        Rows begin with the states `before` (B, state_size), the losses of each part count `scales` times, and `d_after`
        is the gradient of the states after it, None if nothing follows. Raise ForwardFault.
        """
        self._prepare(batch, before, masks, first)
        if d_after is not None:
            np.copyto(self.backprop.d_after, d_after)
        for part, scale in zip(self._losses, scales, strict=bool(self._losses)):
            part.prepare(scale, batch.scored_lengths, batch.weights)
        self._run(None)
        self.backprop.finish()

    def _prepare(self, batch: Batch, before: Floats, masks: DrawMasks, first: int) -> None:
        self._first = first
        for array, given in (
            (self._inputs, batch.inputs),
            (self._targets, batch.targets),
            (self.backprop.before, before),
        ):
            if given is not array:
                np.copyto(array, given)
        drawn = masks(slice(first, first + len(self._inputs))) if self.backprop.masked else {}
        self.backprop.prepare(batch.lengths, drawn)

    def _run(self, count: int | None) -> None:
        """Run the commands. A loss or gradient that is not finite is reported elsewhere."""
        if not self._commands.run(count):
            fault = self.backprop.fault
            if fault is not None:
                raise ForwardFault(fault, self._first)


class LossGradient:
    """Losses and gradients of batches of any shape, with the weights that the trainee holds."""

    def __init__(
        self,
        compiled: CompiledNetwork,
        trainee: Trainee,
        loss: CompiledLoss,
        recompute: int | None,
        windows: WindowMemory | None = None,
        largest: tuple[int, int] = (0, 0),
        frozen: Collection[str] = (),
    ) -> None:
        """`windows` divides windows if `recompute` does not. The steps and rows of the largest batch are `largest`.

        The gradients of `frozen` parameters may be any numbers.
        """
        self._frozen = frozen
        self._compiled, self._trainee, self._loss, self._recompute = compiled, trainee, loss, recompute
        self._windows = windows or WindowMemory(compiled.network, loss.objective)
        self._largest = largest
        self._gradient: Floats = np.zeros(compiled.network.parameter_count, np.float32)
        self._gradients = named(compiled.network, self._gradient)
        self._memory = PassMemory(Workspace(0))
        self._recorded: dict[tuple[object, ...], RecordedUpdate] = {}

    def of(self, batch: Batch, before: Floats, masks: DrawMasks, scales: Sequence[float], *, begins: bool) -> Learnt:
        """Return the losses and the gradient of a batch.

        Rows begin with the states `before` (B, state_size), which are the initial ones if `begins`, and the losses of
        each part of the objective count `scales` times. Raise ForwardFault.
        """
        steps, rows, _ = batch.inputs.shape
        segments = self._windows.segments(steps, rows, self._recompute)
        if len(segments) > 1:
            return self._in_segments(batch, segments, before, masks, scales, begins=begins)
        recorded = self._of_shape(batch, begins=begins, is_segment=False)
        recorded.run(batch, before, masks, scales)
        sums = recorded.sums if batch.weights is None else self._totals([recorded.losses(batch.weights)])
        return Learnt(self._gradient, sums, recorded.backprop.after.copy())

    def _totals(self, segments: list[list[Floats]]) -> list[float]:
        """Return the sum of the losses of each part over segments, of which some have none."""
        parts = zip(*(losses for losses in segments if losses), strict=True)
        return [self._compiled.arithmetic.total(np.concatenate(losses)) for losses in parts]

    def _in_segments(
        self,
        batch: Batch,
        segments: tuple[slice, ...],
        before: Floats,
        masks: DrawMasks,
        scales: Sequence[float],
        *,
        begins: bool,
    ) -> Learnt:
        states = [before]
        for segment in segments[:-1]:
            part = batch.part(segment)
            recorded = self._of_shape(part, begins=begins, is_segment=True)
            states.append(recorded.forward(part, states[-1], masks, segment.start))
        self._gradient[:] = 0
        after, d_after, losses = before, np.zeros_like(before), list[list[Floats]]()
        for segment, state in zip(reversed(segments), reversed(states), strict=True):
            part = batch.part(segment)
            recorded = self._of_shape(part, begins=begins, is_segment=True)
            if self._recompute is None:
                recorded.backprop.continues(continued=bool(losses), unfinished=segment is not segments[0])
            recorded.run(part, state, masks, scales, first=segment.start, d_after=d_after)
            after = after if losses else recorded.backprop.after.copy()
            d_after = recorded.backprop.d_before.copy()
            losses.append(recorded.losses(part.weights))
        return Learnt(self._gradient, self._totals(losses[::-1]), after)

    def _of_shape(self, batch: Batch, *, begins: bool, is_segment: bool) -> RecordedUpdate:
        """Return the recording for batches of this shape. A new one replaces the least recently used one."""
        shape = (batch.inputs.shape, batch.skip, batch.lengths is None, begins, is_segment)
        found = self._recorded.pop(shape, None)
        if found is None:
            self._make_room(len(batch.inputs), batch.inputs.shape[1])
            found = RecordedUpdate(
                self._compiled,
                self._trainee,
                self._loss,
                batch,
                self._gradients,
                self._memory,
                begins=begins,
                is_segment=is_segment,
                joins=is_segment and self._recompute is None,
                frozen=self._frozen,
            )
        self._recorded[shape] = found
        return found

    def _make_room(self, steps: int, rows: int) -> None:
        """Make the workspace ready for the recording of a batch or segment, the largest one if it is the first."""
        if len(self._recorded) == SHAPES_KEPT:
            del self._recorded[next(iter(self._recorded))]
        needed = self._windows.bytes(steps, rows)
        if needed > self._memory.workspace.length:
            self._recorded.clear()
            needed = max(needed, self._windows.piece_bytes(*self._largest, self._recompute))
            self._memory = PassMemory(Workspace(needed), self._memory.sums)
        self._memory.workspace.restart()
