"""Trains a network, as a generator of progress. It does no I/O; the same seed gives the same weights, bit for bit.

The state of a run is one immutable value (`RunState`) that each update replaces; a checkpoint is that value as bytes,
so a run that continues from a checkpoint, in any process, gives the same result as one that was not interrupted.
"""

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.errors import OutputNotFinite
from cellar.nn.execution.array_functions import SUM, cell
from cellar.nn.execution.dropout import Masks, draw_masks
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training.checkpoints import checkpoint as checkpoints
from cellar.nn.training.checkpoints.checkpoint import HISTORY_EPOCHS, RunState, added, best_after, gathered, kept
from cellar.nn.training.checkpoints.progress import EpochRecord, Evaluation, Progress
from cellar.nn.training.checkpoints.resumption import Begin, state_of
from cellar.nn.training.data.alignment import check_window, objective_of, plans
from cellar.nn.training.data.batches import Batch, Plan
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.evaluation import mean_loss, naive_losses, state_before
from cellar.nn.training.memory import largest_batch, largest_shard, run_bytes
from cellar.nn.training.shards.sharded_gradient import ShardedGradient
from cellar.nn.training.shards.team import Helper, Team
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.update.compiled_loss import CompiledLoss
from cellar.nn.training.update.compiled_optimiser import CompiledOptimiser
from cellar.nn.training.update.divergence import diverged, fault, not_finite
from cellar.nn.training.update.grouped_optimiser import GroupedOptimiser
from cellar.nn.training.update.learning_rate import LearningRate
from cellar.nn.training.update.loss_gradient import ForwardFault, Learnt, LossGradient
from cellar.nn.training.update.trained_parameters import TrainedParameters
from cellar.nn.training.update.weight_vector import Trainee, joined, named
from cellar.nn.training.update.window_memory import LEAST_WINDOW_BYTES, WINDOW_BYTES, WindowMemory


def fit(
    network: CompiledNetwork,
    weights: Mapping[str, Floats],
    data: Dataset,
    spec: TrainingSpec,
    *,
    checkpoint: bytes | None = None,
    window_bytes: int = WINDOW_BYTES,
    begin: Begin | None = None,
    team: Team | None = None,
) -> Iterator[Progress]:
    """Train from these weights, or continue from a checkpoint of the same call; yield after each update.

    With `begin` the run continues another one, whose weights and optimiser it takes over. Windows whose values need
    more than `window_bytes` are run in segments, which changes no bit. With a `team`, batches are divided into shards,
    whose gradients are added: the bits are the same for each number of processes, and others than without a team.

    The last progress is `finished` and has the result. Raise InvalidInput, ShapeMismatch or NotFinite before the first
    update if data, settings and network do not fit, StateNotFinite or OutputNotFinite if the run diverges, and
    what `checkpoint.load` raises.
    """
    trainer = _Trainer(network, data, spec, window_bytes, begin, team)
    if checkpoint is None and begin is not None:
        state = state_of(begin)
    elif checkpoint is None:
        network.network.check_weights(weights)
        state = trainer.begin(weights)
    else:
        state = checkpoints.load(checkpoint, trainer.run)
        if state.finished:
            yield trainer.progress(state)
    while not state.finished:
        state = trainer.advance(state)
        yield trainer.progress(state)


def help_fit(
    network: CompiledNetwork, data: Dataset, spec: TrainingSpec, helper: Helper, window_bytes: int = WINDOW_BYTES
) -> None:
    """Compute the shards of a process that helps `fit` with the same arguments, until it has ended."""
    trainer = _Trainer(network, data, spec, window_bytes, team=helper)
    assert trainer.sharded is not None
    for epoch, update in helper.asked():
        trainer.sharded.compute(epoch, update, helper.shards)


@dataclass(frozen=True, slots=True)
class Extent:
    """The extent of a run: its updates, the most if it may stop early, and the most memory that it takes."""

    updates: int
    memory_bytes: int
    """Of the worker's process, all included."""
    window_bytes: int
    """The argument of `fit` with which it takes at most that."""


def check(
    network: Network,
    data: Dataset,
    spec: TrainingSpec,
    most_bytes: int | None = None,
    processes: int | None = None,
) -> Extent:
    """Return the extent of a run of `fit`, without compiling anything; with `processes`, of all of them.

    Windows are divided so that it takes at most `most_bytes`, if that is possible. Raise the errors of `fit` before its
    first update, and InvalidInput for a window longer than the data.
    """
    found = plans(network, data, spec)
    check_window(found[0])
    TrainedParameters(network, spec)
    updates, window_bytes = found[0].updates * spec.epochs, WINDOW_BYTES
    needed = run_bytes(network, data, spec, found, processes=processes)
    while most_bytes is not None and needed > most_bytes and window_bytes > LEAST_WINDOW_BYTES:
        window_bytes //= 2
        needed = run_bytes(network, data, spec, found, window_bytes, processes=processes)
    return Extent(updates, needed, window_bytes)


def evaluate(
    compiled: CompiledNetwork,
    before: Mapping[str, Floats],
    after: Mapping[str, Floats],
    data: Dataset,
    spec: TrainingSpec,
    window_bytes: int = WINDOW_BYTES,
) -> Evaluation:
    """Return the losses of the first and of the final weights of a run on the same steps."""
    trainer = _Trainer(compiled, data, spec, window_bytes)
    plan = trainer.plan if trainer.validation is None else trainer.validation
    is_part = trainer.validation is not None and data.validation is None and data.lengths is None
    inputs = data.inputs if is_part else plan.inputs  # a held-out part may be too short for a period
    began, ended = (trainer.measure(plan, joined(compiled.network, weights)) for weights in (before, after))
    return Evaluation(
        data="training" if trainer.validation is None else "validation",
        loss=ended if math.isfinite(ended) else None,
        before=began if math.isfinite(began) else None,
        **naive_losses(trainer.loss, compiled.arithmetic, trainer.plan, plan, inputs),
    )


class _Trainer:
    """The constant parts of a run: network, data and settings."""

    def __init__(
        self,
        compiled: CompiledNetwork,
        data: Dataset,
        spec: TrainingSpec,
        window_bytes: int = WINDOW_BYTES,
        begin: Begin | None = None,
        team: Team | Helper | None = None,
    ) -> None:
        network = compiled.network
        before = (0, 0) if begin is None else (begin.epochs, begin.updates)
        self._epochs = before[0] + spec.epochs
        self.compiled = compiled
        self.spec = spec
        self.plan, self.validation = plans(network, data, spec)
        self.trained = TrainedParameters(network, spec)
        self.objective = objective_of(network.out_size, data, spec)
        count = self.trained.count
        compiled.prepare_training(
            differentiated=[part.cell for part in self.objective.parts],
            plain=[cell(spec.optimiser.equations, {"x": count, "w": count}), cell(SUM, {"x": count})],
        )
        self.loss = CompiledLoss(self.objective, network.out_size, compiled.arithmetic, spec.recompute)
        self.optimiser: CompiledOptimiser | GroupedOptimiser = (
            CompiledOptimiser(spec.optimiser, count, compiled.arithmetic)
            if spec.learning_rates is None
            else GroupedOptimiser(spec.optimiser, self.trained.groups, compiled.arithmetic)
        )
        self.run = checkpoints.identify(network, data, spec, None if begin is None else begin.state)
        self._order = (-1, self.plan.order(None))
        self.rates = LearningRate(spec.optimiser, spec.epochs, self.plan.updates, *before)
        self.trainee = Trainee(compiled)
        self.windows = WindowMemory(network, self.objective, window_bytes)
        largest = largest_batch(self.plan) if team is None else largest_shard(self.plan)
        frozen = self.trained.frozen
        self.gradient = LossGradient(compiled, self.trainee, self.loss, spec.recompute, self.windows, largest, frozen)
        self.team, self.sharded = team, None
        if team is not None:
            parts = self.trainee, self.gradient, self.windows
            self.sharded = ShardedGradient(network, self.plan, self.order, *parts, team)

    def begin(self, weights: Mapping[str, Floats]) -> RunState:
        """Return the state before the first update."""
        return RunState(joined(self.compiled.network, weights), self.optimiser.start())

    # --- one update

    def advance(self, state: RunState) -> RunState:
        """Return the state after the next update, and after the end of the epoch if it was the last one."""
        batch = self.plan.batch(self.order(state.epoch), state.update)
        counts = batch.counts(self.objective)
        try:
            learnt = self._learn(state, batch, self._scales(batch, counts))
        except ForwardFault as error:
            raise fault(error.kind, f"{self._place(state)}, {error.place}", self._named(state.weights)) from None
        changed = self._update(state, learnt) if any(counts) else {}
        state = state._replace(
            update=state.update + 1,
            carried=learnt.state if self.spec.state == "carry" else None,
            sums=added(state.sums, learnt.losses),
            counts=added(state.counts, counts),
            **changed,
        )
        return self._end_epoch(state) if state.update == self.plan.updates else state

    def _learn(self, state: RunState, batch: Batch, scales: list[float]) -> Learnt:
        """Return the losses and the gradient of a batch. Raise ForwardFault."""
        if self.sharded is not None:
            carried = state.carried if batch.warmup is None else None
            place = state.epoch, state.update, carried
            return self.sharded.of(cast(Team, self.team), state.weights, *place, scales)
        network = self.trainee.load(state.weights)
        before = state_before(network, batch, state.carried, self.windows)
        masks = functools.partial(self._masks, state, batch.inputs.shape[1])
        begins = batch.warmup is not None and self.spec.warmup == 0
        return self.gradient.of(batch, before, masks, scales, begins=begins)

    def _update(self, state: RunState, learnt: Learnt) -> dict[str, Any]:
        """Return the members of the state that an update with a gradient changes, weights among them."""
        trained, gradient = self.trained.of(state.weights), self.trained.of(learnt.gradient)
        changed: dict[str, Any] = {}
        if self.spec.accumulate is not None:
            total, batches = gathered(state, gradient), state.batches + 1
            if batches < self.spec.accumulate and state.update + 1 < self.plan.updates:
                return {"gathered": total, "batches": batches}
            gradient = total / np.float32(batches)
            changed = {"gathered": None, "batches": 0}
        update = self.optimiser.update(trained, gradient, state.optimiser, self._rate(state, state.update))
        weights = self.trained.replaced(state.weights, update.weights)
        if not update.finite or not all(map(math.isfinite, learnt.losses)):
            raise self._not_finite(state, learnt.gradient, weights)
        if self.spec.average is not None:
            changed["averaged"] = self._averaged(state, weights, self.spec.average.decay)
        changed["weights"], changed["optimiser"] = weights, update.state
        return changed

    def _averaged(self, state: RunState, weights: Floats, decay: float) -> Floats:
        """Return the moving average of the weights, which begins with those after the first update."""
        if state.averaged is None:
            return weights
        before, now = self.trained.of(state.averaged), self.trained.of(weights)
        return self.trained.replaced(weights, before + (now - before) * np.float32(1 - decay))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of the windows in an epoch, which the seed determines; it is cached for the next update."""
        if self._order[0] != epoch:
            self._order = (epoch, self.plan.order(epoch))
        return self._order[1]

    def _masks(self, state: RunState, rows: int, steps: slice) -> Masks:
        """Return the masks of dropout for some steps of the window of an update."""
        layers, count = self.compiled.network.layers, steps.stop - steps.start
        return draw_masks(layers, self.spec.seed, state.epoch, state.update, count, rows, first=steps.start)

    def _scales(self, batch: Batch, counts: list[float]) -> list[float]:
        """Return the factor of the losses of each part: for a mean over all, or only over rows and targets."""
        if self.spec.reduce == "sum":
            rows = batch.targets.shape[1]
            return [part.factor / (rows * part.each) for part in self.objective.parts]
        return [part.factor / count if count else 0.0 for part, count in zip(self.objective.parts, counts, strict=True)]

    def _rate(self, state: RunState, update: int) -> float:
        """Return the learning rate of an update of the present epoch."""
        return self.rates.rate(state.epoch, state.watched, update)

    # --- the end of an epoch

    def _end_epoch(self, state: RunState) -> RunState:
        validation_loss = None if self.validation is None else self.measure(self.validation, state.result)
        if validation_loss is not None and not math.isfinite(validation_loss):
            largest = self._named(state.weights)
            raise OutputNotFinite(diverged("the validation loss", self._place(state), largest))
        record = EpochRecord(state.epoch + 1, self._mean(state), validation_loss, self._rate(state, state.update - 1))
        best = best_after(state, record, self.spec)
        stopping = self.spec.early_stopping
        exhausted = stopping is not None and best is not None and best.waited >= stopping.patience
        return state._replace(
            epoch=state.epoch + 1,
            update=0,
            carried=None,
            sums=(),
            counts=(),
            history=(*state.history, record)[-HISTORY_EPOCHS:],
            best=best,
            watched=self.spec.optimiser.schedule.watch(state.watched, record.watched),
            finished=exhausted or state.epoch + 1 == self._epochs,
        )

    def measure(self, plan: Plan, weights: Floats) -> float:
        """Return the mean loss of these weights over all scored steps of a plan."""
        network = self.trainee.load(weights)
        arithmetic = self.compiled.arithmetic
        return mean_loss(network, self.loss, arithmetic, plan, self.windows, self.spec.recompute)

    # --- errors

    def _not_finite(self, state: RunState, gradient: Floats, weights: Floats) -> OutputNotFinite:
        """Return the error of an update whose weights or loss are not finite."""
        what = not_finite(self._named(gradient), self._named(weights))
        largest = self._named(state.weights) if what is None else None
        return OutputNotFinite(diverged(f"the {what or 'loss'}", self._place(state), largest))

    def _named(self, vector: Floats) -> dict[str, Floats]:
        return named(self.compiled.network, vector)

    def _place(self, state: RunState) -> str:
        """Return the place of a run for errors: epoch and batch."""
        done = state.update == self.plan.updates
        batch = "at its end" if done else f"batch {state.update + 1} of {self.plan.updates}"
        return f"epoch {state.epoch + 1}, {batch}"

    # --- results

    def _mean(self, state: RunState) -> float:
        """Return the mean loss of the present epoch so far; 0 if no target has counted yet."""
        return self.objective.mean(state.sums, state.counts) if state.counts else 0.0

    def progress(self, state: RunState) -> Progress:
        """Return the progress of a run in a state."""
        epoch_done = state.update == 0
        last = state.history[-1] if epoch_done else None
        result = state.result if state.best is None else state.best.weights
        return Progress(
            epoch=state.epoch if epoch_done else state.epoch + 1,
            epochs=self._epochs,
            update=self.plan.updates if epoch_done else state.update,
            updates=self.plan.updates,
            loss=self._mean(state) if last is None else last.loss,
            finished=state.finished,
            history=state.history,
            kept=kept(state),
            weights=lambda: self._named(result),
            checkpoint=lambda: checkpoints.dump(state, self.run),
        )
