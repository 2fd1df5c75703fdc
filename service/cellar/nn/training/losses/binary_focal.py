"""The focal loss, for independent probabilities."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cellar.engine import Floats
from cellar.nn.training.loss import Loss, TargetFault, no_probability


class BinaryFocalLoss(Loss):
    """Mean of −α t (1 − p)^γ log p − (1 − α) (1 − t) p^γ log(1 − p): x is the logit of p, α `alpha`, γ `gamma`."""

    type: Literal["binary_focal"]
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.25
    gamma: Annotated[float, Field(ge=0, le=20)] = 2.0
    forecasts: ClassVar[bool] = False
    # log p = -softplus(-x) and log(1 - p) = -softplus(x).
    equations: ClassVar[str] = """
        param alpha: scalar
        param gamma: scalar
        positive = softplus(-x)
        negative = softplus(x)
        hit = alpha * target * exp(-gamma * negative) * positive
        output = mean(hit + (1 - alpha) * (1 - target) * exp(-gamma * positive) * negative)
    """

    def faults(self, targets: Floats, out_size: int) -> Iterator[TargetFault]:
        """Yield that targets are probabilities."""
        yield no_probability(targets)
