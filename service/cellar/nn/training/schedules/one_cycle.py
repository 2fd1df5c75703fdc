"""A learning rate that rises and then falls, each by half a cosine."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cellar.nn.training.schedule import Schedule, half_cosine


class OneCycleSchedule(Schedule):
    """The learning rate rises from its `start`-th part for the share `rise` of all updates, then falls to nearly 0.

    The optimiser's learning rate is the highest one (arXiv:1708.07120).
    """

    type: Literal["one_cycle"]
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    start: Annotated[float, Field(ge=1, le=1e6)] = 25.0
    end: Annotated[float, Field(ge=1, le=1e9)] = 1e4
    by_update: ClassVar[bool] = True

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return the rate of an update, from base / start to base and to base / start / end."""
        first = base / self.start
        last, top = first / self.end, self.rise * epochs - 1
        if epoch <= top:
            return base + (first - base) * half_cosine(epoch / max(top, 1.0))
        return last + (base - last) * half_cosine((epoch - top) / max(epochs - 1 - top, 1.0))
