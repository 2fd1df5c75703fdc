"""The mean squared error."""

from typing import ClassVar, Literal

from cellar.nn.training.loss import Loss


class MeanSquaredError(Loss):
    """Mean of (x − t)²."""

    type: Literal["mse"]
    forecasts: ClassVar[bool] = True
    equations: ClassVar[str] = "output = mean((x - target) * (x - target))"
