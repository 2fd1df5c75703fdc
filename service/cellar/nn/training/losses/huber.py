"""The Huber loss."""

from typing import ClassVar, Literal

from cellar.nn.spec.base import Rate
from cellar.nn.training.loss import Loss


class HuberLoss(Loss):
    """Mean of (x − t)² / 2 up to a distance of `delta`, and linear beyond."""

    type: Literal["huber"]
    delta: Rate = 1.0
    forecasts: ClassVar[bool] = True
    # e^2 / 2 up to delta, delta (e - delta / 2) beyond.
    equations: ClassVar[str] = """
        param delta: scalar
        error = abs(x - target)
        near = min(error, delta)
        output = mean(near * (error - 0.5 * near))
    """
