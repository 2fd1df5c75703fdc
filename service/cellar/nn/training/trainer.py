"""Training: a generator of progress. No input or output, no clock; the same seed gives the same weights, bit for bit.

The state of a run is one immutable value (`RunState`) that each update replaces; a checkpoint is that value as bytes,
so going on from one, in any process, is what would have happened anyway.
"""

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Run
from cellar.errors import InvalidInput, OutputNotFinite, StateNotFinite
from cellar.nn.execution import segmented_backprop
from cellar.nn.execution.array_functions import SUM, cell, concatenated
from cellar.nn.execution.dropout import Masks, draw_masks
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.spec.training import Dataset, EpochRecord, Evaluation, Progress, TrainingSpec
from cellar.nn.training import baseline
from cellar.nn.training import checkpoint as checkpoints
from cellar.nn.training.batches import Batch, Plan, check_window, split
from cellar.nn.training.checkpoint import HISTORY_EPOCHS, Best, RunState
from cellar.nn.training.losses import LOSSES, Loss
from cellar.nn.training.optimisers import UPDATES, Optimiser
from cellar.nn.training.recorded_update import Learnt, RecordedUpdate, can_record
from cellar.nn.training.schedules import learning_rate
from cellar.nn.training.weight_vector import Trainee, joined, named

Array = NDArray[np.float32]

SHAPES_RECORDED = 6
"""Shapes of batches that are recorded, each with memory of its own: so many has a run that carries its state, of whole
and of fewer rows the first window, those that follow, and the last one."""

FORECASTING = ("mse", "mae", "huber")
"""Losses of outputs that may be numbers to come; the others read logits."""

WARMUP_STEPS = 1024
"""Steps of a warm-up that are run at once. All that comes before held-out steps may be one, and the outputs of all
layers are in memory for as many steps as are run at once."""


def fit(
    network: CompiledNetwork,
    weights: Mapping[str, Array],
    data: Dataset,
    spec: TrainingSpec,
    *,
    checkpoint: bytes | None = None,
) -> Iterator[Progress]:
    """Train from these weights, or go on from a checkpoint of the same call; yield after every update.

    The last progress is `finished` and has the result. Raise InvalidInput, ShapeMismatch or NotFinite before the first
    update where data, settings and network do not fit; StateNotFinite or OutputNotFinite when the run diverges; and
    what `checkpoint.load` raises.
    """
    trainer = _Trainer(network, data, spec)
    if checkpoint is None:
        network.network.check_weights(weights)
        state = trainer.begin(weights)
    else:
        state = checkpoints.load(checkpoint, trainer.run)
        if state.finished:
            yield trainer.progress(state)
    while not state.finished:
        state = trainer.advance(state)
        yield trainer.progress(state)


def check(network: Network, data: Dataset, spec: TrainingSpec) -> int:
    """Return how many updates `fit` makes, at most if it may stop early, without compiling anything.

    Raise what `fit` would raise before its first update, and InvalidInput for a window longer than the data.
    """
    plan, _ = _plans(network, data, spec)
    check_window(plan)
    return plan.updates * spec.epochs


def evaluate(
    compiled: CompiledNetwork,
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    data: Dataset,
    spec: TrainingSpec,
) -> Evaluation:
    """Return how the weights that a run began with and those that it ended with do on the same steps."""
    trainer = _Trainer(compiled, data, spec)
    plan = trainer.plan if trainer.validation is None else trainer.validation
    began, ended = (trainer.measure(plan, joined(compiled.network, weights)) for weights in (before, after))
    return Evaluation(
        data="training" if trainer.validation is None else "validation",
        loss=ended if math.isfinite(ended) else None,
        before=began if math.isfinite(began) else None,
        last_value=trainer.measure_last_value(plan),
    )


def _plans(network: Network, data: Dataset, spec: TrainingSpec) -> tuple[Plan, Plan | None]:
    """Return the plans of training and of validation."""
    if not network.parameters:
        raise InvalidInput("the network has no parameters to train", pointer="/model")
    if network.whole_sequences:
        _check_whole(spec)
    plans = split(data, network.out_size, network.in_size, spec, stateful=not network.whole_sequences)
    network.check_inputs(data.inputs, "/data/inputs")
    if data.validation is not None:
        network.check_inputs(data.validation[0], "/data/validation/inputs")
    return plans


def _check_whole(spec: TrainingSpec) -> None:
    """Refuse what needs a state that goes on, where the network reads each sequence from both ends."""
    for field, value, allowed in (
        ("state", spec.state, "reset"),
        ("warmup", spec.warmup, 0),
        ("recompute", spec.recompute, None),
    ):
        if value != allowed:
            raise InvalidInput(
                "the model reads whole sequences, so no state goes on from one stretch of steps to the next",
                pointer=f"/{field}",
                expected="null" if allowed is None else str(allowed),
                actual=str(value),
            )


class _Trainer:
    """What stays the same during a run."""

    def __init__(self, compiled: CompiledNetwork, data: Dataset, spec: TrainingSpec) -> None:
        network = compiled.network
        self.compiled = compiled
        self.spec = spec
        self.plan, self.validation = _plans(network, data, spec)
        size, count = network.out_size, network.parameter_count
        compiled.prepare_training(
            differentiated=[cell(LOSSES[spec.loss.type], {"x": size, "target": size})],
            plain=[cell(UPDATES[spec.optimiser.type], {"x": count, "w": count}), cell(SUM, {"x": count})],
        )
        self.loss = Loss(spec.loss, size, compiled.arithmetic, spec.recompute)
        self.optimiser = Optimiser(spec.optimiser, count, compiled.arithmetic)
        self.run = _identify(network, data, spec)
        self._order = (-1, self.plan.order(None))
        self.trainee = Trainee(compiled)
        self._updates: dict[tuple[object, ...], RecordedUpdate] = {}

    def begin(self, weights: Mapping[str, Array]) -> RunState:
        """Return the state before the first update."""
        return RunState(joined(self.compiled.network, weights), self.optimiser.start())

    # --- one update

    def advance(self, state: RunState) -> RunState:
        """Return the state after the next update, and after the end of the epoch if it was the last one."""
        batch = self.plan.batch(self.order(state.epoch), state.update)
        network = self.trainee.load(state.weights)
        before = _state_before(network, batch, state.carried)
        recorded = self._recorded(batch)
        learnt = None if recorded is None else recorded.run(batch, before, self._scale(batch))
        if learnt is None:
            learnt = self._learn(network, batch, before, state)
        update = self.optimiser.update(state.weights, learnt.gradient, state.optimiser, self._rate(state.epoch))
        if not update.finite or not math.isfinite(learnt.loss):
            what = self._not_finite(learnt.gradient, update.weights)
            raise OutputNotFinite(self._diverged(f"the {what or 'loss'}", state, named_already=what is not None))
        state = replace(
            state,
            weights=update.weights,
            optimiser=update.state,
            update=state.update + 1,
            carried=learnt.state if self.spec.state == "carry" else None,
            loss_sum=state.loss_sum + learnt.loss,
            scored=state.scored + batch.scored,
        )
        return self._end_epoch(state) if state.update == self.plan.updates else state

    def _recorded(self, batch: Batch) -> RecordedUpdate | None:
        """Return the recording for batches of this shape, None where there is none."""
        if self.spec.recompute is not None or not can_record(self.compiled.network):
            return None
        begins = self._begins(batch)
        shape = (batch.inputs.shape, batch.skip, batch.lengths is None, begins)
        if shape not in self._updates and len(self._updates) < SHAPES_RECORDED:
            self._updates[shape] = RecordedUpdate(self.compiled, self.trainee, self.loss, batch, begins=begins)
        return self._updates.get(shape)

    def _begins(self, batch: Batch) -> bool:
        """Return whether a batch begins with the initial state: only then it learns."""
        return batch.warmup is not None and self.spec.warmup == 0

    def _learn(self, network: BoundNetwork, batch: Batch, before: Array, state: RunState) -> Learnt:
        """Return what an update learns, kernel by kernel. Raise StateNotFinite or OutputNotFinite for a fault."""
        masks = functools.partial(self._masks, state, batch.inputs.shape[1])
        run = segmented_backprop.run(network, batch.inputs, before, batch.lengths, masks, self.spec.recompute)
        self._check_finite(run, state)
        scored = self.loss.score(run.outputs[batch.skip :], batch.targets, batch.scored_lengths, self._scale(batch))
        gradient = self._gradient(network, run, _led_by_zeros(scored.d_outputs, batch.skip), batch)
        return Learnt(gradient, self.compiled.arithmetic.total(scored.losses), run.state)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of an epoch's windows; it follows from the seed, and is kept for the next update."""
        if self._order[0] != epoch:
            self._order = (epoch, self.plan.order(epoch))
        return self._order[1]

    def _masks(self, state: RunState, rows: int, steps: slice) -> Masks:
        """Return the masks of dropout for some steps of an update's window."""
        layers, count = self.compiled.network.layers, steps.stop - steps.start
        return draw_masks(layers, self.spec.seed, state.epoch, state.update, count, rows, first=steps.start)

    def _scale(self, batch: Batch) -> float:
        """Return the weight of one step's loss: a mean over all that is scored, or over rows only."""
        return 1 / (batch.scored if self.spec.reduce == "mean" else batch.targets.shape[1])

    def _gradient(self, network: BoundNetwork, run: Run, d_outputs: Array, batch: Batch) -> Array:
        """Return the gradient as one vector. Initial states learn only if the run began with them."""
        gradients = segmented_backprop.backward(network, run, d_outputs)
        found = gradients.weights
        if self._begins(batch):
            found |= network.initial_gradients(gradients.state)
        parameters = self.compiled.network.parameters
        return concatenated(
            [found[name] if name in found else np.zeros(shape, np.float32) for name, shape in parameters]
        )

    def _rate(self, epoch: int) -> float:
        optimiser = self.spec.optimiser
        return learning_rate(optimiser.schedule, optimiser.learning_rate, epoch, self.spec.epochs)

    # --- the end of an epoch

    def _end_epoch(self, state: RunState) -> RunState:
        validation_loss = None if self.validation is None else self.measure(self.validation, state.weights)
        if validation_loss is not None and not math.isfinite(validation_loss):
            raise OutputNotFinite(self._diverged("the validation loss", state))
        record = EpochRecord(state.epoch + 1, state.loss_sum / state.scored, validation_loss, self._rate(state.epoch))
        best = self._best(state, record)
        stopping = self.spec.early_stopping
        exhausted = stopping is not None and best is not None and best.waited >= stopping.patience
        return replace(
            state,
            epoch=state.epoch + 1,
            update=0,
            carried=None,
            loss_sum=0.0,
            scored=0,
            history=(*state.history, record)[-HISTORY_EPOCHS:],
            best=best,
            finished=exhausted or state.epoch + 1 == self.spec.epochs,
        )

    def _best(self, state: RunState, record: EpochRecord) -> Best | None:
        """Return the best weights after an epoch, by plain comparison; patience is counted with `min_delta`."""
        stopping, best, watched = self.spec.early_stopping, state.best, record.watched
        if stopping is None:
            return None
        if best is None:
            return Best(state.weights, record, 0, watched)
        if watched < best.reference - stopping.min_delta:
            best = replace(best, waited=0, reference=watched)
        else:
            best = replace(best, waited=best.waited + 1)
        return replace(best, weights=state.weights, record=record) if watched < best.record.watched else best

    def measure(self, plan: Plan, weights: Array) -> float:
        """Return the mean loss over all scored steps of a plan; infinity if anything on the way is not finite.

        With `recompute` windows are run in segments, so that this takes no more memory than training does.
        """
        network = self.trainee.load(weights)
        order = plan.order(None)
        loss_sum, scored, carried = 0.0, 0, None
        for index in range(plan.updates):
            batch = plan.batch(order, index)
            outputs = []
            carried = _state_before(network, batch, carried)
            for segment in segmented_backprop.cut(len(batch.inputs), self.spec.recompute):
                run = network.run(batch.inputs[segment], carried, segmented_backprop.lengths_in(segment, batch.lengths))
                if run.bad_step is not None:
                    return math.inf
                outputs.append(run.outputs)
                carried = run.state
            answered = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
            losses = self.loss.measure(answered[batch.skip :], batch.targets, batch.scored_lengths)
            loss_sum += self.compiled.arithmetic.total(losses)
            scored += batch.scored
        return loss_sum / scored if math.isfinite(loss_sum) else math.inf

    def measure_last_value(self, plan: Plan) -> float | None:
        """Return the loss of the forecast that repeats what was seen last; None where it does not apply."""
        if self.spec.loss.type not in FORECASTING:
            return None
        features = baseline.carried_features(self.plan)
        if features is None:
            return None
        loss_sum, outputs = 0.0, baseline.forecast(plan, features)
        for begin in range(0, len(outputs), WARMUP_STEPS):
            part = slice(begin, begin + WARMUP_STEPS)
            loss_sum += self.compiled.arithmetic.total(self.loss.measure(outputs[part], plan.targets[part], None))
        mean = loss_sum / (outputs.shape[0] * outputs.shape[1])
        return mean if math.isfinite(mean) else None

    # --- what went wrong

    def _check_finite(self, run: Run, state: RunState) -> None:
        """Raise StateNotFinite or OutputNotFinite for the first fault of a run."""
        if run.bad_step is not None and run.bad_kind is not None:
            kind = int(run.bad_kind[run.bad_step >= 0][0])
            error = StateNotFinite if kind == 1 else OutputNotFinite
            raise error(self._diverged("a state" if kind == 1 else "an output", state))

    def _not_finite(self, gradient: Array, weights: Array) -> str | None:
        """Return the first parameter whose gradient, or which itself, is not finite; None if all are."""
        for what, vector in (("gradient of ", gradient), ("", weights)):
            for name, array in named(self.compiled.network, vector).items():
                if not np.isfinite(array).all():
                    return f"{what}parameter {name}"
        return None

    def _diverged(self, what: str, state: RunState, *, named_already: bool = False) -> str:
        """Return where a run was when `what` became NaN or infinite, and what helps."""
        done = state.update == self.plan.updates
        batch = "at its end" if done else f"batch {state.update + 1} of {self.plan.updates}"
        largest = "" if named_already else f" ({self._largest(state.weights)})"
        return (
            f"{what} became NaN or infinite in epoch {state.epoch + 1}, {batch}{largest}: lower the learning rate, or"
            " clip the gradient (optimiser.clip_norm)"
        )

    def _largest(self, weights: Array) -> str:
        """Return which parameter has the weight of the largest size, and its size."""
        peaks = {name: float(abs(array).max()) for name, array in named(self.compiled.network, weights).items()}
        name = max(peaks, key=peaks.__getitem__)
        return f"the largest weight is {peaks[name]:.2g}, in parameter {name}"

    # --- what the caller sees

    def progress(self, state: RunState) -> Progress:
        epoch_done = state.update == 0
        last = state.history[-1] if epoch_done else None
        result = state.weights if state.best is None else state.best.weights
        return Progress(
            epoch=state.epoch if epoch_done else state.epoch + 1,
            epochs=self.spec.epochs,
            update=self.plan.updates if epoch_done else state.update,
            updates=self.plan.updates,
            loss=state.loss_sum / state.scored if last is None else last.loss,
            finished=state.finished,
            history=state.history,
            kept=_kept(state),
            weights=lambda: named(self.compiled.network, result),
            checkpoint=lambda: checkpoints.dump(state, self.run),
        )


def _kept(state: RunState) -> EpochRecord | None:
    """Return the epoch of the best weights, or the newest one where none are kept."""
    if state.best is not None:
        return state.best.record
    return state.history[-1] if state.history else None


def _state_before(network: BoundNetwork, batch: Batch, carried: Array | None) -> Array:
    """Return the state that a batch begins with: warmed up from the initial one, or carried over."""
    if batch.warmup is None:
        assert carried is not None
        return carried
    state = network.initial_state(batch.inputs.shape[1])
    for begin in range(0, len(batch.warmup), WARMUP_STEPS):
        state = network.run(batch.warmup[begin : begin + WARMUP_STEPS], state).state
    return state


def _led_by_zeros(array: Array, steps: int) -> Array:
    """Return (T, B, F) with so many steps of zeros before it."""
    if steps == 0:
        return array
    return np.concatenate([np.zeros((steps, *array.shape[1:]), np.float32), array])


def _identify(network: Network, data: Dataset, spec: TrainingSpec) -> str:
    """Return a digest of all that a run is made of besides its state."""
    digest = hashlib.sha256(f"{network.digest} {spec.model_dump_json()}".encode())
    for array in (data.inputs, data.targets, *(data.validation or ())):
        digest.update(f" {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()
