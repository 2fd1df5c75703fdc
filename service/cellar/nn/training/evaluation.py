"""Computes mean losses on a dataset: of a network, and of naive forecasts."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cellar.engine import Floats
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.training.data import last_value, naive_forecasts
from cellar.nn.training.data.batches import Batch, Plan, counts, cut, lengths_in
from cellar.nn.training.update.compiled_loss import CompiledLoss
from cellar.nn.training.update.window_memory import WindowMemory

WARMUP_STEPS = 1024
"""Steps of a warm-up in one call. The steps before held-out ones can be a long warm-up, and the outputs of all
layers are in memory for the steps of a call."""


def mean_loss(
    network: BoundNetwork,
    loss: CompiledLoss,
    arithmetic: Arithmetic,
    plan: Plan,
    windows: WindowMemory,
    recompute: int | None,
) -> float:
    """Return the mean loss over all scored steps of a plan; infinity if a number is not finite.

    Windows are run in the segments of training, so that this takes no more memory.
    """
    order = plan.order(None)
    sums, counts, carried = [0.0] * len(loss.objective.parts), [0.0] * len(loss.objective.parts), None
    for index in range(plan.updates):
        batch = plan.batch(order, index)
        measured = list[list[Floats]]()
        carried = state_before(network, batch, carried, windows)
        steps, rows, _ = batch.inputs.shape
        for segment in windows.segments(steps, rows, recompute):
            part = batch.part(segment)
            run = network.run(part.inputs, carried, part.lengths)
            if run.bad_step is not None:
                return math.inf
            if len(part.targets):
                outputs = run.outputs[part.skip :]
                measured.append(loss.measure(outputs, part.targets, part.scored_lengths, part.weights))
            carried = run.state
        totals = (arithmetic.total(np.concatenate(losses)) for losses in zip(*measured, strict=True))
        sums = [a + b for a, b in zip(sums, totals, strict=True)]
        counts = [a + b for a, b in zip(counts, batch.counts(loss.objective), strict=True)]
    return loss.objective.mean(sums, counts) if all(map(math.isfinite, sums)) else math.inf


def naive_losses(
    loss: CompiledLoss, arithmetic: Arithmetic, training: Plan, plan: Plan, inputs: Floats
) -> dict[str, Any]:
    """Return the losses over a plan of the naive forecasts, as members of an `Evaluation`.

    There are none if the loss reads logits, or the targets of the training are not later inputs. `inputs` are those up
    to the last target of the plan, in which a value of a period before is looked for.
    """
    carried = last_value.carried(training) if loss.objective.forecasts else None
    if carried is None:
        return {"last_value": None}
    features = [feature for _, feature in carried]
    last, mean = last_value.forecast(plan, tuple(features)), naive_forecasts.mean_of(training)
    found: dict[str, Any] = {
        "last_value": _forecast_loss(loss, arithmetic, plan, lambda part: last[part]),
        "mean": _forecast_loss(loss, arithmetic, plan, lambda part: np.zeros_like(last[part]) + mean),
    }
    period, first = naive_forecasts.period_of(training, carried), len(inputs) - len(plan.targets)
    if period is not None:
        found["period"] = period
        found["seasonal_value"] = _forecast_loss(
            loss,
            arithmetic,
            plan,
            lambda part: naive_forecasts.seasonal(
                inputs, slice(first + part.start, first + min(part.stop, len(plan.targets))), carried, period
            ),
        )
    return found


def _forecast_loss(
    loss: CompiledLoss, arithmetic: Arithmetic, plan: Plan, outputs: Callable[[slice], Floats]
) -> float | None:
    """Return the loss over a plan of a forecast with these outputs (T, B, out_size) of some steps; None: not finite."""
    sums = [0.0] * len(loss.objective.parts)
    for begin in range(0, len(plan.targets), WARMUP_STEPS):
        part = slice(begin, begin + WARMUP_STEPS)
        weights = None if plan.weights is None else plan.weights[part]
        found = loss.measure(outputs(part), plan.targets[part], lengths_in(part, plan.lengths), weights)
        sums = [total + arithmetic.total(losses) for total, losses in zip(sums, found, strict=True)]
    mean = loss.objective.mean(sums, counts(plan.targets, plan.lengths, plan.weights, loss.objective))
    return mean if math.isfinite(mean) else None


def state_before(network: BoundNetwork, batch: Batch, carried: Floats | None, windows: WindowMemory) -> Floats:
    """Return the state at the begin of a batch: the initial state after the warm-up, or the carried one."""
    if batch.warmup is None:
        assert carried is not None
        return carried
    rows = batch.inputs.shape[1]
    state = network.initial_state(rows)
    if not len(batch.warmup):
        return state
    for part in cut(len(batch.warmup), min(WARMUP_STEPS, max(1, windows.length(len(batch.warmup), rows, None)))):
        state = network.run(batch.warmup[part], state).state
    return state
