"""Forward, loss and back over batches of one shape as a recording: one native call between arrays that stay in place.

Bits are those of `passes`, which runs the same kernels one by one: nothing else computes floats here but the addition
of gradients where several layers read a signal, in the same order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import INPUT, Invocation, Signal
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training.data.batches import Batch
from cellar.nn.training.update.compiled_loss import CompiledLoss
from cellar.nn.training.update.weight_vector import Trainee, named

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What an update learns from a batch."""

    gradient: Array
    """(n,) of the scaled sum of the losses, by all weights."""
    loss: float
    """The sum of all losses."""
    state: Array
    """(B, state_size) after the last step of each row."""


def can_record(network: Network) -> bool:
    """Return whether a network's layers are kernels that read each other's outputs, and nothing else."""
    return network.embedding is None and not any(layer.reverse or layer.dropout is not None for layer in network.layers)


class RecordedUpdate:
    """A recording for batches of the shape of one of them. Only the newest result is kept."""

    def __init__(
        self, compiled: CompiledNetwork, trainee: Trainee, loss: CompiledLoss, batch: Batch, *, begins: bool
    ) -> None:
        """`begins`: every run begins with the network's initial state, which learns where it is trained."""
        network = compiled.network
        steps, rows, _ = batch.inputs.shape
        self._trainee = trainee
        self._arithmetic = compiled.arithmetic
        self._recording = compiled.recording()
        self._ragged = batch.lengths is not None
        # Batches of one shape stand where this one does.
        self._inputs, self._targets = batch.inputs, batch.targets
        self._before, self._after, self._d_after, self._d_before = (
            np.zeros((rows, network.state_size), np.float32) for _ in range(4)
        )
        self._gradient: Array = np.zeros(network.parameter_count, np.float32)
        self._gradients = named(network, self._gradient)
        self._loss_sum: Array = np.empty(1, np.float32)
        self._calls: list[Invocation] = []
        """Of the layers, forward and back."""
        outputs = self._record_forward()
        d_outputs = np.zeros((steps, rows, network.out_size), np.float32)
        scored = outputs[network.output[0]][batch.skip :]
        self._loss = loss.record(self._recording, scored, self._targets, d_outputs[batch.skip :], ragged=self._ragged)
        self._record_backward(network.output, d_outputs)
        if begins:
            self._record_starts()
        self._arithmetic.record_sums(self._recording, self._loss.losses.reshape(1, -1), self._loss_sum)

    def run(self, batch: Batch, before: Array, scale: float) -> Learnt | None:
        """Return what there is to learn from a batch with the weights that the trainee holds; None after a fault.

        Rows begin with the states `before` (B, state_size), and each step's loss counts `scale` times. The result is
        valid until the next run.
        """
        for array, given in ((self._inputs, batch.inputs), (self._targets, batch.targets), (self._before, before)):
            if given is not array:
                np.copyto(array, given)
        self._loss.d_losses.fill(scale)
        if self._ragged:
            for call in self._calls:
                call.begin(batch.lengths)
            for call in self._loss.calls:
                call.begin(batch.scored_lengths)
        if not self._recording.run():
            return None
        return Learnt(self._gradient, float(self._loss_sum[0]), self._after.copy())

    def _record_forward(self) -> list[Array]:
        """Record the layers in order; return where their outputs (T, B, size) stand."""
        steps, rows, _ = self._inputs.shape
        outputs: list[Array] = []
        for part in self._trainee.network.parts:
            reads = [self._inputs if signal == INPUT else outputs[signal[0]] for signal in part.layer.reads]
            outputs.append(np.empty((steps, rows, part.kernel.cell.out_size), np.float32))
            before, after = self._before[:, part.columns], self._after[:, part.columns]
            call = part.kernel.bound(part.packed, reads, before, outputs[-1], after, ragged=self._ragged, save=True)
            self._calls.append(call)
            self._recording.call(call)
        return outputs

    def _record_backward(self, output: Signal, d_outputs: Array) -> None:
        """Record the adjoints of the layers, the last one first, given the gradient of the network's output."""
        parts, forward = self._trainee.network.parts, list(self._calls)
        sums = {output[0]: d_outputs}
        for index in reversed(range(len(parts))):
            part, reads = parts[index], parts[index].layer.reads
            wanted = any(signal != INPUT for signal in reads)
            d_inputs = [
                np.empty((*d_outputs.shape[:2], size), np.float32) if wanted else None
                for size in part.kernel.cell.in_sizes
            ]
            d_after, d_before = self._d_after[:, part.columns], self._d_before[:, part.columns]
            call = part.kernel.bound_adjoint(part.packed, forward[index], sums.pop(index), d_after, d_inputs, d_before)
            self._record_adjoint(part.layer.name, call)
            for (number,), d_input in zip(reads, d_inputs, strict=True):
                if d_input is not None and number in sums:
                    self._recording.add(sums[number], d_input)
                if d_input is not None:
                    sums[number] = d_input

    def _record_adjoint(self, layer: str, call: Invocation) -> None:
        """Record an adjoint that sums gradients from zero, and where in the vector they go."""
        self._calls.append(call)
        self._recording.copy(np.zeros(16, np.float32), call.sums.memory.reshape(-1, 16))
        self._recording.call(call)
        for name, sums in call.sums.trimmed.items():
            self._recording.copy(sums, self._gradients[f"{layer}.{name}"])

    def _record_starts(self) -> None:
        """Record the gradients of trained initial states: sums over rows."""
        for part in self._trainee.network.parts:
            for name, columns in part.layer.starts:
                d_states = self._d_before[:, part.columns][:, columns].T
                turned = np.empty(d_states.shape, np.float32)
                self._recording.copy(d_states, turned)
                self._arithmetic.record_sums(self._recording, turned, self._gradients[name])
