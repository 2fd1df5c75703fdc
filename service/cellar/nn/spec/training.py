"""What a training run is told (`TrainingSpec`, JSON) and what it tells (`Progress`).

Every regime of the Flux page on recurrence is a field here. A *sequence* is what begins with the initial state: with
`state: reset` every window of the data, with `state: carry` each whole row of the data. From its first step on

    warmup steps     fed without gradient, to warm the state; no loss
    skip steps       outputs left out of the loss; the gradient flows through them
    the rest         scored against the targets

and the targets are aligned with the end of the inputs: they hold the scored steps, all steps after the warm-up, or all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from cellar.nn.spec.network import Frozen

Weights = Mapping[str, NDArray[np.float32]]


def _expand(value: Any) -> Any:
    """Let a bare name stand for an object with defaults: "adam" is {"type": "adam"}."""
    return {"type": value} if isinstance(value, str) else value


def _or_bare(names: Any, objects: Any) -> BeforeValidator:
    """Return what takes one of the names for an object, and says in the JSON schema that it does."""
    return BeforeValidator(_expand, json_schema_input_type=names | objects)


Rate = Annotated[float, Field(gt=0, le=1e6)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Epsilon = Annotated[float, Field(ge=1e-12, le=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Positive = Annotated[int, Field(ge=1, le=1_000_000_000)]


# --- losses ---------------------------------------------------------------------------------------------------------


class PlainLoss(Frozen):
    """A loss without settings. The last two read logits; cross_entropy takes class indices or probabilities."""

    type: Literal["mse", "mae", "binary_cross_entropy", "cross_entropy"]


class HuberLoss(Frozen):
    """Squared up to `delta`, straight beyond."""

    type: Literal["huber"]
    delta: Rate = 1.0


LossName = Literal["mse", "mae", "binary_cross_entropy", "cross_entropy", "huber"]
LossObject = Annotated[PlainLoss | HuberLoss, Field(discriminator="type")]
LossSpec = Annotated[LossObject, _or_bare(LossName, LossObject)]


# --- schedules ------------------------------------------------------------------------------------------------------


class ConstantSchedule(Frozen):
    """The learning rate as it is."""

    type: Literal["constant"]


class StepSchedule(Frozen):
    """Times `factor` after every `every` epochs."""

    type: Literal["step"]
    every: Positive
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1


class ExponentialSchedule(Frozen):
    """Times `factor` after every epoch."""

    type: Literal["exponential"]
    factor: Annotated[float, Field(gt=0, le=1)]


class CosineSchedule(Frozen):
    """Half a cosine from the learning rate at the first epoch towards `minimum` after the last one."""

    type: Literal["cosine"]
    minimum: Annotated[float, Field(ge=0, le=1e6)] = 0.0


ScheduleName = Literal["constant", "cosine"]
"""Of those that need nothing besides."""
ScheduleObject = Annotated[
    ConstantSchedule | StepSchedule | ExponentialSchedule | CosineSchedule, Field(discriminator="type")
]
ScheduleSpec = Annotated[ScheduleObject, _or_bare(ScheduleName, ScheduleObject)]


# --- optimisers -----------------------------------------------------------------------------------------------------


class OptimiserBase(Frozen):
    """What every optimiser has."""

    learning_rate: Rate = 0.001
    schedule: ScheduleSpec = Field(default_factory=lambda: ConstantSchedule(type="constant"))
    clip_norm: Rate | None = Field(None, description="Scale the gradient down to this Euclidean norm.")
    clip_value: Rate | None = Field(None, description="Limit every element of the gradient to this size, first.")
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Added to the gradient times the weight; adamw and lion shrink the weight itself."
    )


class Sgd(OptimiserBase):
    """Plain gradient descent."""

    type: Literal["sgd"]
    learning_rate: Rate = 0.1


class Momentum(OptimiserBase):
    """Gradient descent with a velocity (momentum), or with Nesterov's look ahead (nesterov)."""

    type: Literal["momentum", "nesterov"]
    learning_rate: Rate = 0.01
    momentum: Decay = 0.9


class Adam(OptimiserBase):
    """Adam (arXiv:1412.6980), and with decoupled weight decay AdamW (arXiv:1711.05101)."""

    type: Literal["adam", "adamw"]
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    epsilon: Epsilon = 1e-8


class RmsProp(OptimiserBase):
    """RMSProp (Hinton, lecture 6e)."""

    type: Literal["rmsprop"]
    rho: Decay = 0.9
    epsilon: Epsilon = 1e-8


class AdaGrad(OptimiserBase):
    """AdaGrad (Duchi et al. 2011)."""

    type: Literal["adagrad"]
    learning_rate: Rate = 0.1
    epsilon: Epsilon = 1e-8


class AdaDelta(OptimiserBase):
    """AdaDelta (arXiv:1212.5701)."""

    type: Literal["adadelta"]
    learning_rate: Rate = 1.0
    rho: Decay = 0.9
    epsilon: Epsilon = 1e-6


class Lion(OptimiserBase):
    """Lion (arXiv:2302.06675)."""

    type: Literal["lion"]
    beta1: Decay = 0.9
    beta2: Decay = 0.99


OptimiserName = Literal["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "lion"]
OptimiserObject = Annotated[Sgd | Momentum | Adam | RmsProp | AdaGrad | AdaDelta | Lion, Field(discriminator="type")]
OptimiserSpec = Annotated[OptimiserObject, _or_bare(OptimiserName, OptimiserObject)]


# --- the run --------------------------------------------------------------------------------------------------------


class EarlyStopping(Frozen):
    """Stop when the watched loss (of validation if there is any) has not improved for a while.

    The weights of the epoch with the lowest watched loss are the result, however small its lead is.
    """

    patience: Positive = Field(description="Number of epochs without improvement after which the job ends.")
    min_delta: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="By how much the watched loss must fall below that of the last improvement to count as one."
        " It does not decide which weights are the best.",
    )


class TrainingSpec(Frozen):
    """One training run, without its data."""

    state: Literal["reset", "carry"] = Field(
        "reset",
        description="reset: windows are independent sequences, shuffled and batched. carry: the windows of a row"
        " follow one another and the state is carried without gradient (truncated backpropagation);"
        " it is reset at every epoch.",
    )
    window: Positive | None = Field(
        None,
        description="Steps that are backpropagated through at once, including `skip`. Default: the whole sequence.",
    )
    recompute: Positive | None = Field(
        None,
        description="Steps of a window whose values are kept at once. The forward pass of the window is computed"
        " again in segments of this length, which needs memory for one segment and about a third more"
        " time. Default: all values are kept.",
    )
    warmup: Count = Field(
        0, description="First steps of a sequence that only prepare the state, without gradient and loss."
    )
    skip: Count = Field(0, description="Outputs after the warm-up that are left out of the loss.")
    loss: LossSpec = Field(default_factory=lambda: PlainLoss(type="mse"))
    reduce: Literal["mean", "sum"] = Field(
        "mean",
        description="Over the scored steps of a window: their mean, or their sum as in Flux. Over rows: the mean.",
    )
    optimiser: OptimiserSpec = Field(default_factory=lambda: Adam(type="adam"))
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = Field(32, description="Sequences in one update.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="Seed of the order of the batches and of the masks of dropout."
    )
    validation: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Fraction of the data to hold out: the last rows, or the last steps if there is one row, a"
        " window or a carried state. Held-out steps go on from the state after the steps before them,"
        " unless they are windows of their own (`reset` with a window). Separate validation data may"
        " be sent instead.",
    )
    early_stopping: EarlyStopping | None = None

    @field_validator("skip")
    @classmethod
    def _window_holds_a_scored_step(cls, skip: int, info: ValidationInfo) -> int:
        """Check here, because the fault of two fields has no place of its own in the request."""
        window = info.data.get("window")
        if window is not None and skip >= window:
            raise ValueError(f"skip ({skip}) must be smaller than window ({window})")
        return skip


@dataclass(frozen=True, slots=True)
class Dataset:
    """Arrays in (T, B, F): what a run learns from, and what it is measured on besides."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    """(T', B, out_size), T' at least the scored steps; or (T', B, 1) class indices for cross_entropy."""
    validation: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    """Inputs and targets that are not trained on."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of the loss history. Losses are means over scored steps, whatever `reduce` says."""

    epoch: int
    """From 1."""
    loss: float
    validation_loss: float | None
    learning_rate: float

    @property
    def watched(self) -> float:
        """Return the loss that early stopping watches: of validation if there is any."""
        return self.loss if self.validation_loss is None else self.validation_loss


WORSE = 0.01
"""By which part of the loss at the beginning the one at the end must be higher to be worse: rounding, and the noise of
a run that has changed next to nothing, stay far below."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Mean losses over the same scored steps, without dropout: what a run has achieved. None: not finite."""

    data: Literal["training", "validation"]
    """Which steps: those of validation if there are any."""
    loss: float | None
    """With the weights that are the result."""
    before: float | None
    """With the weights that the run began with."""
    last_value: float | None
    """Of the forecast that repeats what was seen last; None where the targets are not inputs of later steps."""

    @property
    def worse(self) -> bool:
        """Whether the run has ended worse than it began."""
        if self.loss is None:
            return True
        return self.before is not None and self.loss > self.before * (1 + WORSE)

    @property
    def beaten(self) -> bool:
        """Whether repeating the last value is as good a forecast."""
        return self.last_value is not None and (self.loss is None or self.loss >= self.last_value)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after an update. The two methods are valid until the run is asked to go on."""

    epoch: int
    """The epoch of the update, from 1."""
    epochs: int
    update: int
    """Updates made in this epoch, out of `updates`."""
    updates: int
    loss: float
    """Mean over the scored steps of this epoch so far."""
    finished: bool
    """The run is over: `weights` is the result."""
    history: tuple[EpochRecord, ...]
    """The epochs that are done, the newest thousand of them."""
    kept: EpochRecord | None
    """The one whose weights would be the result if the run ended with it; None before the first."""
    weights: Callable[[], dict[str, NDArray[np.float32]]] = field(repr=False)
    """Return the result so far: with early stopping the best weights, else the newest."""
    checkpoint: Callable[[], bytes] = field(repr=False)
    """Return all that `fit` needs to go on from here, in any process, to the same bits."""
