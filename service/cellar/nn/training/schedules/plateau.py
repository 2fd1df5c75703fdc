"""A learning rate that falls when the loss does not."""

from typing import Annotated, Literal

from pydantic import Field

from cellar.nn.spec.base import Positive
from cellar.nn.training.schedule import Schedule, Watched, power


class PlateauSchedule(Schedule):
    """The learning rate is multiplied by `factor` after `patience` epochs without a loss lower by `min_delta`.

    The loss is that of validation if there is any.
    """

    type: Literal["plateau"]
    patience: Positive = 10
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    minimum: Annotated[float, Field(ge=0, le=1e6)] = 0.0

    def rate_after(self, watched: Watched | None, base: float, epoch: int, epochs: int) -> float:
        """Return base * factor ** reductions, at least the minimum."""
        return max(self.minimum, base * power(self.factor, 0 if watched is None else watched.reductions))

    def watch(self, watched: Watched | None, loss: float) -> Watched:
        """Count the epochs since the last improvement."""
        if watched is None or loss < watched.reference - self.min_delta:
            return Watched(loss, 0, 0 if watched is None else watched.reductions)
        if watched.waited + 1 < self.patience:
            return Watched(watched.reference, watched.waited + 1, watched.reductions)
        return Watched(watched.reference, 0, watched.reductions + 1)
