"""A learning rate that falls every few epochs."""

from typing import Annotated, Literal

from pydantic import Field

from cellar.nn.spec.base import Positive
from cellar.nn.training.schedule import Schedule, power


class StepSchedule(Schedule):
    """The learning rate is multiplied by `factor` after every `every` epochs."""

    type: Literal["step"]
    every: Positive
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return base * factor ** (epoch // every)."""
        return base * power(self.factor, epoch // self.every)
