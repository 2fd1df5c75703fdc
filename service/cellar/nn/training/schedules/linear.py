"""A learning rate that falls on a line."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cellar.nn.training.schedule import Schedule


class LinearSchedule(Schedule):
    """The learning rate falls on a line from the first update down to `minimum` after the last one."""

    type: Literal["linear"]
    minimum: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    by_update: ClassVar[bool] = True

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return base + (minimum - base) epoch / epochs, for updates in place of epochs."""
        return base + (self.minimum - base) * (epoch / epochs)
