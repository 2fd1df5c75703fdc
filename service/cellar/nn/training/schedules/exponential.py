"""A learning rate that falls by the same factor after every epoch."""

from typing import Annotated, Literal

from pydantic import Field

from cellar.nn.training.schedule import Schedule, power


class ExponentialSchedule(Schedule):
    """The learning rate is multiplied by `factor` after every epoch."""

    type: Literal["exponential"]
    factor: Annotated[float, Field(gt=0, le=1)]

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return base * factor ** epoch."""
        return base * power(self.factor, epoch)
