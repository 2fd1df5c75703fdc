"""Records the forward and the backward pass of a network as a list of commands, for backpropagation.

All arithmetic is in kernels of `cellar.engine`, with two exceptions: if several layers read a signal, its gradients are
added, those of later layers first; and the gradient of an embedding.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cellar.engine import CommandList, Floats, GradientBuffers, Ints, Invocation, Signal, Workspace
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.execution.dropout import Masks
from cellar.nn.execution.executable import BoundNetwork, Part
from cellar.nn.model.embedding import add_table_gradient


@dataclass(frozen=True, slots=True)
class PassMemory:
    """Memory that recordings of one network share. A run destroys what the other recordings have left there."""

    workspace: Workspace
    """The values that are needed during a run."""
    sums: dict[str, GradientBuffers] = field(default_factory=dict)
    """The sums of the gradients of parameters, by the name of the layer."""


class PassFault(NamedTuple):
    """A number of the forward pass that is not finite."""

    kind: int
    """1: in a state, 2: in an output."""
    step: int
    """From 0."""
    row: int
    """From 0."""


class Backprop:
    """The two passes over windows of `steps` steps of `rows` rows.

    Call `record_forward` and then `record_backward`. Call `prepare` before each run of the commands, and
    `finish` after each run of both passes.
    """

    def __init__(
        self,
        network: BoundNetwork,
        commands: CommandList,
        inputs: Floats,
        gradients: Mapping[str, Floats],
        *,
        ragged: bool,
        want_inputs: bool = False,
        accumulate: bool = False,
        memory: "PassMemory | None" = None,
        joins: bool = False,
        frozen: Collection[str] = (),
    ) -> None:
        """Read `inputs` (T, B, in_size) from this array in every run, and write `gradients` by name.

        If `ragged`, rows have lengths. `want_inputs` requests the gradient of the inputs. With `accumulate` the
        gradients are added to the contents of `gradients`, except those of initial states. Recordings that share
        their `memory` must not run at the same time. If it `joins`, several of them sum the gradients of one window
        (`continues`). Gradients of `frozen` parameters are not computed where this saves work. Raise ValueError for a
        network that was bound for inference or has rounded weights.
        """
        if network.inference:
            raise ValueError("a network for inference, or whose matrices are kept as bfloat16, has no gradients")
        self._network, self._commands = network, commands
        self._inputs, self._gradients, self._accumulate = inputs, gradients, accumulate
        self._memory, self._joins = memory or PassMemory(Workspace(0)), joins
        self._embedding = network.network.embedding
        self._steps, self._rows = inputs.shape[:2]
        self._lengths: Ints | None = np.zeros(self._rows, np.int32) if ragged else None
        self._found = self._array(network.network.first_size) if network.network.takes_ids else inputs
        self._want_inputs = want_inputs or (self._embedding is not None and self._embedding.name not in frozen)
        self._frozen, self._learning = frozen, self._layers_before_gradients(frozen)
        self.before, self.after, self.d_after, self.d_before = (
            np.zeros((self._rows, network.network.state_size), np.float32) for _ in range(4)
        )
        """(B, state_size): the states before the first step and after the last one of each row, and their gradients.

        `before` and `d_after` are read in every run, the others are written."""
        self.d_inputs: Floats | None = None
        """(T, B, in_size) after `record_backward`, if it was requested."""
        self._own_d_before: dict[str, Floats] = {}
        """The gradients of the initial states of layers that begin every call with them, by the name of the layer."""
        self._masks, self._outputs = Masks(), list[Floats]()
        self._forward, self._backward, self._summing = list[Invocation](), list[Invocation](), list[Invocation]()

    def _layers_before_gradients(self, frozen: Collection[str]) -> set[int]:
        """Return the numbers of the layers through which gradients pass: what is trained is in them or before them.

        The input of the network is -1.
        """
        found = {-1} if self._want_inputs else set[int]()
        for index, part in enumerate(self._network.parts):
            trained = any(f"{part.layer.name}.{name}" not in frozen for name in part.layer.shapes)
            if trained or any(number in found for signal in part.layer.reads for number in signal):
                found.add(index)
        return found

    def _array(self, size: int) -> Floats:
        return self._memory.workspace.floats((self._steps, self._rows, size))

    # --- forward

    def record_forward(self) -> Floats:
        """Record the layers in order; return the array of the network's outputs (T, B, out_size)."""
        for index, part in enumerate(self._network.parts):
            reads = [self._turned(part, self._signal(signal)) for signal in part.layer.reads]
            if part.layer.dropout is not None:
                self._masks[index] = self._array(part.kernel.cell.out_size)
                reads.append(self._masks[index])
            outputs = self._array(part.kernel.cell.out_size)
            before, after = self._states(part)
            ways = {"ragged": self._lengths is not None, "save": index in self._learning}
            call = part.kernel.bound(
                part.packed, reads, before, outputs, after, workspace=self._memory.workspace, **ways
            )
            self._forward.append(call)
            self._commands.call(call)
            self._outputs.append(self._turned(part, outputs))
        return self._signal(self._network.network.output)

    def _states(self, part: Part) -> tuple[Floats, Floats]:
        """Return the states (B, S) before and after a layer."""
        if part.columns is not None:
            return self.before[:, part.columns], self.after[:, part.columns]
        before, after = (np.empty((self._rows, part.kernel.cell.state_size), np.float32) for _ in range(2))
        self._commands.copy(part.initial[0], before)
        return before, after

    def _signal(self, signal: Signal) -> Floats:
        """Return the array with the concatenated numbers (T, B, size) of a signal."""
        arrays = [self._found if number < 0 else self._outputs[number] for number in signal]
        if len(arrays) == 1:
            return arrays[0]
        joined = self._array(sum(array.shape[2] for array in arrays))
        for array, place in zip(arrays, self._split(signal, joined), strict=True):
            self._commands.copy(array, place)
        return joined

    def _split(self, signal: Signal, joined: Floats) -> list[Floats]:
        """Return the columns of each layer in a signal."""
        if len(signal) == 1:
            return [joined]
        sizes = [self._network.parts[number].kernel.cell.out_size for number in signal]
        return np.split(joined, np.cumsum(sizes)[:-1], axis=2)

    def _turned(self, part: Part, array: Floats) -> Floats:
        """Return the input or output of a layer in the order of its steps: each row is reversed if the layer is."""
        if not part.layer.reverse:
            return array
        turned = self._memory.workspace.floats(array.shape)
        self._commands.reverse(array, turned, self._lengths)
        return turned

    # --- back

    def record_backward(self, d_outputs: Floats, arithmetic: Arithmetic, *, begins: bool) -> None:
        """Record the adjoints of the layers, the last one first, given the gradient (T, B, out_size) of the outputs.

        With `begins`, every window begins with the initial states, and trained ones get gradients.
        """
        sums: dict[int, Floats] = {}
        self._add(sums, self._network.network.output, d_outputs)
        for index in sorted(self._learning - {-1}, reverse=True):
            self._record_adjoint(index, sums)
        self.d_inputs = sums[-1] if self._want_inputs else None
        for part in self._network.parts:
            if not any(name not in self._frozen for name, _ in part.layer.starts):
                continue
            if part.columns is None:
                self._record_initial(part, self._own_d_before[part.layer.name], arithmetic)
            elif begins:
                self._record_initial(part, self.d_before[:, part.columns], arithmetic)
            else:
                for name, _ in part.layer.starts:
                    self._commands.copy(np.zeros((), np.float32), self._gradients[name])

    def _record_adjoint(self, index: int, sums: dict[int, Floats]) -> None:
        """Record the adjoint of a layer: remove the gradient of its outputs from `sums`, add those of its inputs."""
        part = self._network.parts[index]
        wanted = any(number in self._learning for signal in part.layer.reads for number in signal)
        read = len(part.layer.reads) if wanted else 0  # without a mask
        sizes = part.kernel.cell.in_sizes
        d_inputs = [self._array(size) if index < read else None for index, size in enumerate(sizes)]
        d_outputs = self._turned(part, sums.pop(index))
        d_after, d_before = self._d_states(part)
        if part.layer.name not in self._memory.sums:
            self._memory.sums[part.layer.name] = GradientBuffers(part.kernel.cell.params)
        params = part.kernel.cell.params
        trained = not params or any(f"{part.layer.name}.{param.name}" not in self._frozen for param in params)
        call = part.kernel.bound_adjoint(
            part.packed,
            self._forward[index],
            d_outputs,
            d_after,
            d_inputs,
            d_before,
            want_params=trained,
            workspace=self._memory.workspace,
            sums=self._memory.sums[part.layer.name],
        )
        self._backward.append(call)
        if trained:
            self._summing.append(call)
            self._record_sums(part.layer.name, call)
        else:
            self._commands.call(call)
        for signal, d_input in zip(part.layer.reads, d_inputs, strict=False):
            if d_input is not None:
                self._add(sums, signal, self._turned(part, d_input))

    def _d_states(self, part: Part) -> tuple[Floats, Floats]:
        """Return the gradients (B, S) of the states after and before a layer."""
        if part.columns is not None:
            return self.d_after[:, part.columns], self.d_before[:, part.columns]
        after, before = (np.zeros((self._rows, part.kernel.cell.state_size), np.float32) for _ in range(2))
        self._own_d_before[part.layer.name] = before
        return after, before

    def _add(self, sums: dict[int, Floats], signal: Signal, gradient: Floats) -> None:
        """Add the gradient of a signal to those of the layers in it."""
        for number, part in zip(signal, self._split(signal, gradient), strict=True):
            if number not in self._learning:
                continue
            if number in sums:
                self._commands.add(sums[number], part)
            sums[number] = part

    def _record_sums(self, layer: str, call: Invocation) -> None:
        """Record an adjoint that sums the gradients of parameters, and the copies from and to `gradients`."""
        if not self._joins:
            self._commands.copy(np.zeros(16, np.float32), call.sums.memory.reshape(-1, 16))
        if self._accumulate and not self._joins:
            for name, sums in call.sums.trimmed.items():
                self._commands.copy(self._gradients[f"{layer}.{name}"], sums)
        self._commands.call(call)
        for name, sums in call.sums.trimmed.items():
            self._commands.copy(sums, self._gradients[f"{layer}.{name}"])

    def _record_initial(self, part: Part, d_before: Floats, arithmetic: Arithmetic) -> None:
        """Record the gradients of trained initial states: sums over rows."""
        for name, columns in part.layer.starts:
            d_states = d_before[:, columns].T
            turned = np.empty(d_states.shape, np.float32)
            self._commands.copy(d_states, turned)
            arithmetic.record_sums(self._commands, turned, self._gradients[name], self._memory.workspace)

    # --- before and after a run

    @property
    def masked(self) -> bool:
        """Return whether there are layers with dropout."""
        return bool(self._masks)

    def prepare(self, lengths: Ints | None, masks: Masks) -> None:
        """Set the lengths (B,) of a ragged window and the masks of dropout, and look up the rows of ids."""
        if self._lengths is not None:
            assert lengths is not None
            self._lengths[:] = lengths
            for call in (*self._forward, *self._backward):
                call.begin(lengths)
        for index, mask in masks.items():
            np.copyto(self._masks[index], mask)
        if self._found is not self._inputs:
            np.copyto(self._found, self._network.looked_up(self._inputs))

    def continues(self, *, continued: bool, unfinished: bool) -> None:
        """Say of the next run whether it continues the sums of another recording, and whether one follows."""
        for call in self._summing:
            if not continued:
                call.sums.memory[:] = 0
            call.continues(continued=continued, unfinished=unfinished)

    def finish(self) -> None:
        """Compute the gradient of the embedding, if there is one."""
        if self._embedding is not None and self._embedding.name not in self._frozen:
            assert self.d_inputs is not None
            gradient = self._gradients[self._embedding.name]
            if not self._accumulate:
                gradient[:] = 0
            add_table_gradient(gradient, self._inputs, self.d_inputs, self._lengths)

    @property
    def fault(self) -> "PassFault | None":
        """The earliest fault in the window of the first row that has one, None if the forward pass had none."""
        steps = np.array([call.faults[0] for call in self._forward])
        rows = np.flatnonzero((steps >= 0).any(axis=0))
        if not len(rows):
            return None
        found = np.where(steps[:, rows[0]] < 0, self._steps, steps[:, rows[0]])
        kind = int(self._forward[int(found.argmin())].faults[1, rows[0]])
        return PassFault(kind, int(found.min()), int(rows[0]))
