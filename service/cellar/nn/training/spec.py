"""The settings of a training run (`TrainingSpec`, JSON).

Every regime of the Flux page on recurrence is a field here. A *sequence* begins with the initial state: with
`state: reset` every window of the data, with `state: carry` each whole row of the data. From its first step on

    warmup steps     fed without gradient, to warm the state; no loss
    skip steps       outputs left out of the loss; the gradient flows through them
    the rest         scored against the targets

and the targets are aligned with the end of the inputs: they hold the scored steps, all steps after the warm-up, or all.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from cellar.nn.spec.base import MAX_SIZE, Count, Factor, Frozen, Positive, is_unused
from cellar.nn.training.losses import LossSpec
from cellar.nn.training.losses.mse import MeanSquaredError
from cellar.nn.training.optimisers import OptimiserSpec
from cellar.nn.training.optimisers.adam import Adam


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


PARAMETER_PATH_PATTERN = r"^[0-9]{1,4}(\.[A-Za-z0-9_]{1,64})*$"
ParameterPath = Annotated[str, Field(pattern=PARAMETER_PATH_PATTERN)]
"""The name of a parameter, or of all parameters of a layer: "1.Wi_r", "1.reverse" or "1"."""

ParameterPaths = Annotated[
    tuple[Annotated[int, Field(ge=0, le=9999)] | ParameterPath, ...], Field(strict=False, max_length=1000)
]


class MovingAverage(Frozen):
    """Weights that are averaged over updates: `decay` times the average before, and the rest of the new weights."""

    type: Literal["ema"]
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999


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
    loss: LossSpec = Field(
        default_factory=lambda: MeanSquaredError(type="mse"), description="The measure that is minimised. Default: mse."
    )
    reduce: Literal["mean", "sum"] = Field(
        "mean",
        description="Over the scored steps of a window: their mean, or their sum as in Flux. Over rows: the mean.",
    )
    optimiser: OptimiserSpec = Field(
        default_factory=lambda: Adam(type="adam"), description="How the weights are changed. Default: adam."
    )
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = Field(10, description="Passes over the data.")
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = Field(32, description="Sequences in one update.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="Seed of the order of the batches and of the masks of dropout."
    )
    validation: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Fraction of the data to hold out: the last rows, or the last steps if there is one row, a"
        " window or a carried state. Held-out steps continue from the state after the steps before them,"
        " unless they are windows of their own (`reset` with a window). Separate validation data may"
        " be sent instead.",
    )
    early_stopping: EarlyStopping | None = None
    accumulate: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        None,
        exclude_if=is_unused,
        description="Batches whose gradients are averaged for one update of the weights. Default: 1.",
    )
    average: MovingAverage | None = Field(
        None,
        exclude_if=is_unused,
        description="The result is a moving average of the weights, and validation measures it. Default: the weights.",
    )
    learning_rates: dict[ParameterPath, Factor] | None = Field(
        None,
        exclude_if=is_unused,
        description="Factors of the learning rate, by the number of a layer or the name of a parameter. Default: 1.",
    )
    target_weights: Annotated[tuple[Factor, ...], Field(strict=False, max_length=MAX_SIZE)] | None = Field(
        None,
        exclude_if=is_unused,
        description="How much each target counts in the loss: a number from 0 for each. Default: each counts 1.",
    )
    freeze: ParameterPaths = Field(
        (),
        exclude_if=is_unused,
        description="Layers and parameters that are not trained: numbers of layers, from 0, or names of parameters."
        " Their weights stay bit for bit.",
    )

    @field_validator("skip")
    @classmethod
    def _window_holds_a_scored_step(cls, skip: int, info: ValidationInfo) -> int:
        """Check here, because a fault of two fields together has no single place in the request."""
        window = info.data.get("window")
        if window is not None and skip >= window:
            raise ValueError(f"skip ({skip}) must be smaller than window ({window})")
        return skip
