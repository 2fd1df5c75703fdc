"""A learning rate that stays the same."""

from typing import Literal

from cellar.nn.training.schedule import Schedule


class ConstantSchedule(Schedule):
    """The learning rate stays the same."""

    type: Literal["constant"]

    def rate(self, base: float, epoch: int, epochs: int) -> float:
        """Return the optimiser's learning rate."""
        return base
