"""The quantile loss, for several quantiles of each target."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from cellar.engine import Floats
from cellar.nn.spec.levels import Levels
from cellar.nn.training.loss import Loss


class QuantileLoss(Loss):
    """Mean of max(q (t − x), (q − 1) (t − x)), the pinball loss: an output for each of `quantiles` of each target."""

    type: Literal["quantile"]
    quantiles: Levels = (0.1, 0.5, 0.9)
    forecasts: ClassVar[bool] = True
    equations: ClassVar[str] = """
        param level: in
        error = target - x
        output = mean(max(level * error, (level - 1) * error))
    """

    @property
    def outputs_per_target(self) -> int:
        """Return the number of quantiles."""
        return len(self.quantiles)

    def parameters(self, out_size: int) -> Mapping[str, Sequence[float]]:
        """Return the level of each output: the quantiles of a target are consecutive."""
        return {"level": self.quantiles * (out_size // len(self.quantiles))}

    def compared(self, targets: Floats, out_size: int) -> Floats:
        """Return each target once for each of its quantiles."""
        return np.repeat(targets, len(self.quantiles), axis=2)
