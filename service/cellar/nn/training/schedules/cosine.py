"""A learning rate that falls by half a cosine."""

from typing import Annotated, Literal

from pydantic import Field

from cellar.nn.training.schedule import Schedule, half_cosine


class CosineSchedule(Schedule):
    """The learning rate follows half a cosine from the first epoch down to `minimum` after the last one."""

    type: Literal["cosine"]
    minimum: Annotated[float, Field(ge=0, le=1e6)] = 0.0

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return minimum + (base - minimum) (1 + cos(pi epoch / epochs)) / 2."""
        return self.minimum + (base - self.minimum) * half_cosine(epoch / epochs)
