"""The binary cross entropy, for independent probabilities."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from cellar.engine import Floats
from cellar.nn.spec.base import Rate, is_unused
from cellar.nn.training.loss import Loss, TargetFault, no_probability


class BinaryCrossEntropy(Loss):
    """Mean of −w t log p − (1 − t) log(1 − p): x is the logit of p, t a probability, and w `positive_weight` or 1."""

    type: Literal["binary_cross_entropy"]
    positive_weight: Rate | None = Field(
        None, exclude_if=is_unused, description="How much more a target of 1 counts than one of 0. Default: 1."
    )
    forecasts: ClassVar[bool] = False
    # With p = sigmoid(x): no difference of large numbers for targets of 0 and 1.
    equations: ClassVar[str] = """
        param positive_weight: scalar
        output = mean(positive_weight * target * softplus(-x) + (1 - target) * softplus(x))
    """

    def parameters(self, out_size: int) -> Mapping[str, float]:
        """Return the weight of positive targets."""
        return {"positive_weight": 1.0 if self.positive_weight is None else self.positive_weight}

    def faults(self, targets: Floats, out_size: int) -> Iterator[TargetFault]:
        """Yield that targets are probabilities."""
        yield no_probability(targets)
