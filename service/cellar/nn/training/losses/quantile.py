"""The quantile loss, for several quantiles of each target."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field

from cellar.engine import Floats
from cellar.nn.training.loss import Loss

Level = Annotated[float, Field(gt=0, lt=1)]


def _increasing(levels: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(levels)):
        raise ValueError("quantiles must be in increasing order, each once")
    return levels


class QuantileLoss(Loss):
    """Mean of max(q (t − x), (q − 1) (t − x)), the pinball loss: an output for each of `quantiles` of each target."""

    type: Literal["quantile"]
    quantiles: Annotated[
        tuple[Level, ...], Field(strict=False, min_length=1, max_length=99), AfterValidator(_increasing)
    ] = (0.1, 0.5, 0.9)
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
