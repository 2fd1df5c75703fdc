"""The base class of optimisers: settings, equations of one weight, and the scalars of each update."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from cellar.engine import Floats
from cellar.nn.spec.base import Frozen, Positive, Rate, is_unused
from cellar.nn.training.schedules import ScheduleSpec
from cellar.nn.training.schedules.constant import ConstantSchedule

Powers = tuple[float, float]

GRADIENT = """
    param scale: scalar
    param decay: scalar
    param rate: scalar
    g = scale * x + decay * w
"""
"""The gradient `g` after clipping by its norm (`scale`) and with weight decay that is part of it (`decay`)."""


class Optimiser(Frozen):
    """The base of all optimisers. The docstring of each is its line in the docs and in the JSON schema.

    `equations` begin with GRADIENT and compute `output`, the new weight, from the weight `w` and the gradient `x`. What
    they declare as a state is kept between updates, and small numbers in it are not flushed: a second moment of
    1e-30 is that of gradients of 1e-15, which matter where epsilon is smaller. An update whose states are all
    subnormal takes up to four times as long.
    """

    learning_rate: Rate = 0.001
    schedule: ScheduleSpec = Field(default_factory=lambda: ConstantSchedule(type="constant"))
    clip_norm: Rate | None = Field(None, description="Scale the gradient down to this Euclidean norm.")
    clip_value: Rate | None = Field(None, description="Limit every element of the gradient to this size, first.")
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Added to the gradient times the weight; adamw and lion shrink the weight itself."
    )
    warmup_updates: Positive | None = Field(
        None,
        exclude_if=is_unused,
        description="Updates during which the learning rate rises on a line to that of the schedule.",
    )
    type: str
    equations: ClassVar[str]

    @property
    def decays(self) -> Powers:
        """Return the numbers whose powers, with the number of updates as exponent, correct a bias."""
        return 1.0, 1.0

    def scalars(self, rate: float, powers: Powers) -> dict[str, float]:
        """Return the parameters of the equations except `scale`, for a learning rate and the powers of `decays`.

        By default these are `rate`, `decay`, and the settings that only this kind has, such as `momentum`.
        """
        own = type(self).model_fields.keys() - Optimiser.model_fields.keys()
        return self.coupled(rate) | {name: getattr(self, name) for name in own}

    def coupled(self, rate: float) -> dict[str, float]:
        """Return `rate`, and `decay` for weight decay as part of the gradient."""
        return {"rate": rate, "decay": self.weight_decay}

    def decoupled(self, rate: float) -> dict[str, float]:
        """Return `rate`, no `decay`, and `shrink`, which the equations subtract from the weight times itself."""
        return {"rate": rate, "decay": 0.0, "shrink": rate * self.weight_decay}


def moving_averages(beta1: float, beta2: float) -> dict[str, float]:
    """Return the factors of two moving averages: of the old value, and of the new one."""
    return {"keep1": beta1, "take1": 1 - beta1, "keep2": beta2, "take2": 1 - beta2}


@dataclass(frozen=True, slots=True)
class OptimiserState:
    """The state of an optimiser between updates."""

    slots: Floats
    """(1, S): its states, each as long as the weights."""
    power1: float = 1.0
    """The first of `Optimiser.decays` to the number of updates, as a float64 product."""
    power2: float = 1.0
