"""A network whose sessions learn its weights by truncated backpropagation: each session has weights of its own.

A session keeps the change of its weights, and for each of the last steps the state before it, its inputs and its
outputs, in a block behind its state. The rows of a call are run one after the other, each with its own weights: no
kernel call is shared. A change is packed for the kernels once, and kept for the next steps.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import cached_property

import numpy as np

from cellar.engine import Floats, Ints, Mask, Run, States, joined_state
from cellar.errors import InvalidInput, StateNotFinite
from cellar.nn.execution.array_functions import SUM, cell
from cellar.nn.execution.dropout import Masks
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.learning.layout import COUNT_BASE, ReadoutLayout
from cellar.nn.learning.learning_network import LearningNetwork
from cellar.nn.learning.spec import BpttSpec, Learning
from cellar.nn.model.network import Network
from cellar.nn.training.data.batches import Batch
from cellar.nn.training.losses.mse import MeanSquaredError
from cellar.nn.training.optimisers.sgd import Sgd
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.update.compiled_loss import CompiledLoss
from cellar.nn.training.update.compiled_optimiser import CompiledOptimiser
from cellar.nn.training.update.loss_gradient import ForwardFault, LossGradient
from cellar.nn.training.update.trained_parameters import TrainedParameters
from cellar.nn.training.update.weight_vector import Trainee, joined, named

KEPT_NETWORKS = 32
"""Most packed changes of weights that are kept."""

THREAD_FLOPS = 5_000_000
"""Added to the operations of a step, so that it runs on a kernel thread: weights may have to be packed."""


def training_of(network: Network, spec: BpttSpec) -> TrainingSpec:
    """Return how a session learns, as the settings of a training run. Raise InvalidInput for an unknown layer."""
    names = [name for name, _ in network.parameters]
    chosen = names if spec.layers is None else []
    for index, number in enumerate(spec.layers or ()):
        found = [name for name in names if name.split(".")[0] == str(number)]
        if not found:
            raise InvalidInput(
                f"layer {number} has no parameters",
                pointer=f"/learning/layers/{index}",
                expected=f"one of {', '.join(sorted({name.split('.')[0] for name in names}))}",
                actual=str(number),
            )
        chosen += found
    optimiser = Sgd(type="sgd", learning_rate=spec.learning_rate, clip_norm=spec.clip_norm)
    freeze = tuple(name for name in names if name not in chosen)
    return TrainingSpec(loss=MeanSquaredError(type="mse"), optimiser=optimiser, freeze=freeze)


def bptt_learning_of(network: Network, spec: BpttSpec) -> Learning:
    """Return the learning of the sessions of a network. Raise InvalidInput if it cannot learn so."""
    if network.whole_sequences or network.spec.weight_storage != "float32":
        raise InvalidInput(
            "a session can learn weights in float32 of a network that reads its inputs forwards",
            pointer="/learning",
            expected="float32 weights, and no bidirectional layer",
        )
    weights = TrainedParameters(network, training_of(network, spec)).count
    sizes = {"features": network.state_size + network.in_size, "outputs": network.out_size, "weights": weights}
    learning = Learning(spec=spec, bias=False, layer=network.layers[-1].number, **sizes)
    layout = ReadoutLayout(learning, network.state_size)
    layout.check_size()
    return learning.model_copy(update={"states": [(state.name, state.size) for state in layout.states()]})


class BpttNetwork(LearningNetwork):
    """The network of a version for sessions that learn its weights. Safe to share between threads."""

    def __init__(
        self, bound: BoundNetwork, compiled: CompiledNetwork, learning: Learning, weights: Mapping[str, Floats]
    ) -> None:
        assert isinstance(learning.spec, BpttSpec)
        super().__init__(bound, learning)
        network = compiled.network
        self._compiled, self._rate = compiled, learning.spec.learning_rate
        training = training_of(network, learning.spec)
        self._trained, self._base = TrainedParameters(network, training), joined(network, weights)
        count, loss = self._trained.count, training.loss
        compiled.prepare_training(
            differentiated=[cell(loss.equations, loss.sizes(network.out_size))],
            plain=[cell(training.optimiser.equations, {"x": count, "w": count}), cell(SUM, {"x": count})],
        )
        self._optimiser = CompiledOptimiser(training.optimiser, count, compiled.arithmetic)
        self._trainee = Trainee(compiled)
        measured = CompiledLoss(loss, network.out_size, compiled.arithmetic)
        self._gradient = LossGradient(compiled, self._trainee, measured, None, frozen=self._trained.frozen)
        self._lock, self._kept = threading.Lock(), OrderedDict[bytes, BoundNetwork]()

    @property
    def size_bytes(self) -> int:
        """The memory of the weights, with those of sessions."""
        return (KEPT_NETWORKS + 6) * self._bound.size_bytes

    @cached_property
    def flops(self) -> int:
        """The number of floating-point operations of a step of one row."""
        return THREAD_FLOPS + 2 * self._bound.flops + self.layout.size

    def _run(
        self, executor: Executor | None, inputs: Floats, state: States, lengths: Ints | None, reset: Mask | None
    ) -> Run:
        """Step T times, one row after the other, on this thread."""
        del executor
        steps, rows, _ = inputs.shape
        before = state if isinstance(state, np.ndarray) else joined_state(tuple(state), rows, self.layout.state_size)
        after: Floats = np.array(before, dtype=np.float32, order="C")
        outputs = np.zeros((steps, rows, self._learning.outputs), np.float32)
        bad_step, bad_kind = np.full(rows, -1, np.int32), np.zeros(rows, np.int32)
        for row in range(rows):
            if reset is not None and reset[row]:
                after[row] = np.frombuffer(self.restarted(after[row].tobytes()), np.float32)
            length = steps if lengths is None else int(lengths[row])
            given = np.ascontiguousarray(inputs[:length, row : row + 1])
            bad_step[row], bad_kind[row] = self._run_row(given, after[row], outputs[:length, row])
        is_good = bool((bad_step < 0).all())
        return Run(outputs, after, None if is_good else bad_step, None if is_good else bad_kind)

    def _run_row(self, inputs: Floats, state: Floats, outputs: Floats) -> tuple[int, int]:
        """Step a row, whose state and outputs are written. Return its first bad step and its kind, or (-1, 0)."""
        base, layout = self.layout.base, self.layout
        block = state[base:]
        window = block[layout.steps].reshape(layout.window, -1)
        own = self._with(block[layout.delta])
        for step in range(len(inputs)):
            before = state[None, :base].copy()
            run = own.run(inputs[step : step + 1], before)
            if run.bad_step is not None and run.bad_kind is not None:
                return step, int(run.bad_kind[0])
            outputs[step] = run.outputs[0, 0]
            alone = run if own is self._bound else self._bound.run(inputs[step : step + 1], before)
            cursor = int(block[0])
            numbers = before[0], inputs[step, 0], alone.outputs[0, 0], outputs[step]
            window[cursor] = 0
            window[cursor, : -1 - len(outputs[step])] = np.nan_to_num(np.concatenate(numbers))
            block[0], block[1] = (cursor + 1) % layout.window, min(block[1] + 1, layout.window)
            state[:base] = run.state[0]
        return -1, 0

    def _with(self, delta: Floats) -> BoundNetwork:
        """Return the network with a change of its weights."""
        if not delta.any():
            return self._bound
        key = delta.tobytes()
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found
                return found
        made = self._compiled.bind(named(self._compiled.network, self._changed(delta)), inference=True)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT_NETWORKS:
                self._kept.popitem(last=False)
        return made

    def _changed(self, delta: Floats) -> Floats:
        """Return all weights with a change of those that learn."""
        return self._trained.replaced(self._base, self._trained.of(self._base) + delta)

    # --- what is learnt

    def learn(self, state: bytes, places: Sequence[int], targets: Floats) -> bytes:
        """Return the state after one update by targets of steps."""
        after = np.frombuffer(bytearray(state), np.float32)
        block, outputs = after[self.layout.base :], self._learning.outputs
        window = block[self.layout.steps].reshape(self.layout.window, -1)
        slots = [(int(block[0]) - ago) % self.layout.window for ago in places]
        for slot, target in zip(slots, targets, strict=True):
            window[slot, -1 - outputs : -1], window[slot, -1] = target, 1
            _measure(block, window[slot], outputs)
        steps = [(int(block[0]) - ago) % self.layout.window for ago in range(int(block[1]), min(places) - 1, -1)]
        base, numbers = self.layout.base, window[steps]
        weights = np.isin(steps, slots).astype(np.float32)[:, None, None]
        inputs = np.ascontiguousarray(numbers[:, None, base : self._learning.features])
        wanted = np.ascontiguousarray(numbers[:, None, -1 - outputs : -1])
        batch = Batch(None, inputs, wanted, 0, None, weights)
        with np.errstate(over="ignore", invalid="ignore"):
            block[self.layout.delta] = self._updated(
                block[self.layout.delta], batch, numbers[:1, :base], 1 / len(slots)
            )
        if not np.isfinite(after).all():
            raise StateNotFinite("the targets would make what the session has learnt infinite or NaN")
        return after.tobytes()

    def _updated(self, delta: Floats, batch: Batch, before: Floats, scale: float) -> Floats:
        """Return the change of the weights after one update. Raise StateNotFinite."""
        with self._lock:
            self._trainee.load(self._changed(delta))
            try:
                found = self._gradient.of(batch, np.ascontiguousarray(before), self._masks, [scale], begins=False)
            except ForwardFault as error:
                raise StateNotFinite(
                    "the steps of the window are not finite with the weights of the session"
                ) from error
            gradient = self._trained.of(found.gradient)
            return self._optimiser.update(delta.copy(), gradient, self._optimiser.start(), self._rate).weights

    def _masks(self, steps: slice) -> Masks:
        """Return masks that leave nothing out."""
        count = steps.stop - steps.start
        layers = enumerate(self._compiled.network.layers)
        return {index: np.ones((count, 1, layer.cell.out_size), np.float32) for index, layer in layers if layer.dropout}

    def restarted(self, state: bytes) -> bytes:
        """Return the initial state with what the session has learnt, in which no step waits for a target."""
        return self.reopened(super().restarted(state))


def _measure(block: Floats, place: Floats, outputs: int) -> None:
    """Add the squared errors of a step's answer, and of the version alone, to their running means."""
    *_, base, answered, target = np.split(place[:-1].astype(np.float64), range(-3 * outputs, 0, outputs))
    weight = float(block[4]) + 1
    block[4] = weight
    for at, given in ((5, base), (6, answered)):
        error = sum((one - other) ** 2 for one, other in zip(target.tolist(), given.tolist(), strict=True)) / outputs
        block[at] += (min(error, 3e38) - float(block[at])) / weight
    low = int(block[2]) + 1
    block[2], block[3] = low % COUNT_BASE, block[3] + low // COUNT_BASE
