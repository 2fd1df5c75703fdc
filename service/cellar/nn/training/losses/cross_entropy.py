"""The cross entropy, for one class of several."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.nn.training.loss import Loss, TargetFault, no_probability

SUM_TOLERANCE = 1e-3
"""How far the sum of probabilities may be from 1: they may have been rounded, as 0.333 for each of three."""


class CrossEntropy(Loss):
    """−Σ t log softmax(x), where t is a class index from 0, or a probability for each class (sum: 1 ± 0.001)."""

    type: Literal["cross_entropy"]
    forecasts: ClassVar[bool] = False
    equations: ClassVar[str] = "output = sum(target * (logsumexp(x) - x))"

    def target_sizes(self, out_size: int) -> set[int]:
        """Return the sizes of a distribution and of a class index."""
        if out_size == 1:
            raise InvalidInput("cross_entropy compares at least two outputs", pointer="/loss", actual="one output")
        return {out_size, 1}

    def faults(self, targets: Floats, out_size: int) -> Iterator[TargetFault]:
        """Yield that targets are class indices if there is one number, else distributions."""
        if targets.shape[2] == 1:
            known = np.isin(targets, np.arange(out_size, dtype=np.float32))
            yield TargetFault(~known, "a target is no class index", f"whole numbers from 0 to {out_size - 1}")
            return
        yield no_probability(targets)
        beside = abs(targets.sum(axis=2, dtype=np.float64) - 1) > SUM_TOLERANCE
        yield TargetFault(beside, "the probabilities of classes do not sum to 1", f"a sum of 1 ± {SUM_TOLERANCE}")

    def compared(self, targets: Floats, out_size: int) -> Floats:
        """Return class indices as distributions."""
        if targets.shape[2] > 1:
            return targets
        found: Floats = (targets == np.arange(out_size, dtype=np.float32)).astype(np.float32)
        return found
