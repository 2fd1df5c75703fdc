"""The negative log-likelihood of a Poisson distribution, for counts."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from cellar.engine import Floats
from cellar.nn.training.loss import Loss, TargetFault, counts_only


class PoissonLoss(Loss):
    """Mean of exp(x) − t x: x is the logarithm of the expected count, and t a count from 0. A constant is left out."""

    type: Literal["poisson"]
    forecasts: ClassVar[bool] = False
    equations: ClassVar[str] = "output = mean(exp(x) - target * x)"

    def faults(self, targets: Floats, out_size: int) -> Iterator[TargetFault]:
        """Yield that targets are counts."""
        yield counts_only(targets)
