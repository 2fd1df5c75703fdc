"""Chooses window, batches, updates, learning rate and clipping from the length of the data."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cellar.errors import InvalidInput
from cellar.jobs.recipe.choices import Choice
from cellar.jobs.recipe.windows import Shape
from cellar.nn.training.spec import TrainingSpec

WINDOW = 64
"""Steps of a window: 32 forecasts the series of `benchmarks.forecasting` worse, and 128 no better."""

SKIPPED = 4
"""One of as many steps of a window prepares the state."""

WINDOWS = 4
"""A series has at least as many windows, so that a shorter one has shorter windows."""

LEAST_WINDOW = 8

BATCH = 32
"""Windows in an update, if there are four times as many."""

UPDATES = 600
"""Updates of the weights of a run: with 1,500 the validation loss of short series has risen again long before."""

PASSES = 3
"""A run passes over long data at least as many times."""

LEARNING_RATE = 1e-3
CLIP_NORM = 1.0
OPTIMISER: dict[str, Any] = {
    "type": "adam",
    "learning_rate": LEARNING_RATE,
    "clip_norm": CLIP_NORM,
    "schedule": {"type": "cosine", "minimum": 0.0},
}
"""The optimiser of a run that sends none."""

PATIENCE = 4
"""A run ends after this share of its epochs, 1 / PATIENCE, without an improvement."""

LEAST_STEPS = 16
"""The fewest steps to train on, besides the horizon."""


def shape_of(
    steps: Sequence[int], horizon: int, window: int | None, skip: int | None = None
) -> tuple[Shape, list[Choice]]:
    """Return the windows of series with these numbers of trained steps. `window` and `skip` are those of the request.

    Raise InvalidInput if all series are too short, or the window is longer than the longest.
    """
    longest = max(steps) - horizon
    if longest < LEAST_STEPS:
        raise InvalidInput(
            f"the longest series has {max(steps)} steps to train on, and a horizon of {horizon} needs more: send more"
            " readings, a shorter horizon or a smaller share of validation",
            pointer="/data/horizon",
            expected=f"at least {LEAST_STEPS + horizon} steps",
            actual=f"{max(steps)} steps",
        )
    if window is not None:
        if window > longest:
            raise InvalidInput(
                f"a window of {window} steps, and the longest series has {longest} to train on besides the horizon",
                pointer="/window",
                expected=f"at most {longest}",
                actual=str(window),
            )
        return Shape(window, window // SKIPPED if skip is None else min(skip, window - 1), horizon), []
    chosen = max(LEAST_WINDOW, min(WINDOW, longest // WINDOWS))
    reason = "enough for what an LSTM learns to remember" if chosen == WINDOW else f"the data have {longest} steps"
    shape = Shape(chosen, chosen // SKIPPED if skip is None else min(skip, chosen - 1), horizon)
    return shape, [
        Choice("window", chosen, f"Steps that are learnt from at once: {reason}."),
        Choice("skip", shape.skip, "The first steps of a window prepare the state and are not scored."),
    ]


def check_loss(loss: Any, outputs: int) -> None:
    """Raise InvalidInput for a loss that does not compare numbers of any sign: targets are in units of their scale."""
    scaled = np.full((1, 1, outputs), -0.5, np.float32)
    for head in TrainingSpec.model_validate_json(json.dumps({"loss": loss})).loss.heads(outputs):
        each = head.loss
        rules = [fault.expected for fault in each.faults(scaled, outputs) if fault.places.any()]
        if rules or each.outputs_per_target > 1:
            why = f"takes {rules[0]}" if rules else f"reads {each.outputs_per_target} outputs for each target"
            raise InvalidInput(
                f"the loss {each.type} {why}, and a job on a dataset has one output for each target and step ahead, in"
                " units of the target's scale: send another loss, or the data as arrays",
                pointer="/loss",
                expected="a loss such as mae, mse, huber or log_cosh",
                actual=each.type,
            )


def run_of(windows: int, sent: dict[str, Any]) -> tuple[dict[str, Any], list[Choice]]:
    """Return the fields of `TrainingSpec` for that many windows, besides those that were sent."""
    batch = sent.get("batch_size") or max(1, min(BATCH, windows // 4))
    an_epoch = -(-windows // batch)
    epochs = sent.get("epochs") or max(PASSES, math.ceil(UPDATES / an_epoch))
    patience = max(3, epochs // PATIENCE)
    chosen = [
        Choice("batch_size", batch, f"There are {windows} windows, and an update needs only some of them."),
        Choice("epochs", epochs, f"For {epochs * an_epoch} updates, {an_epoch} in each pass over the data."),
        Choice("loss", "mae", "The mean absolute error: single outliers in the data do not dominate it."),
        Choice("optimiser", OPTIMISER, "Adam, with a learning rate that falls by half a cosine and clipped gradients."),
        Choice(
            "early_stopping",
            {"patience": patience, "min_delta": 0.0},
            "The weights of the epoch with the lowest validation loss are kept.",
        ),
    ]
    fields = {choice.field: choice.value for choice in chosen} | sent
    return fields, [choice for choice in chosen if choice.field not in sent]
