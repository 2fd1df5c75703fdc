"""The mean absolute error."""

from typing import ClassVar, Literal

from cellar.nn.training.loss import Loss


class MeanAbsoluteError(Loss):
    """Mean of |x − t|."""

    type: Literal["mae"]
    forecasts: ClassVar[bool] = True
    equations: ClassVar[str] = "output = mean(abs(x - target))"
