"""The binary cross entropy, for independent probabilities."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from cellar.engine import Floats
from cellar.nn.training.loss import Loss, TargetFault, no_probability


class BinaryCrossEntropy(Loss):
    """Mean of −t log p − (1 − t) log(1 − p): x is the logit of p, and t a probability from 0 to 1."""

    type: Literal["binary_cross_entropy"]
    forecasts: ClassVar[bool] = False
    # With p = sigmoid(x): no difference of large numbers for targets of 0 and 1.
    equations: ClassVar[str] = "output = mean(target * softplus(-x) + (1 - target) * softplus(x))"

    def faults(self, targets: Floats, out_size: int) -> Iterator[TargetFault]:
        """Yield that targets are probabilities."""
        yield no_probability(targets)
