"""The optimiser of gradient descent with momentum."""

from typing import ClassVar, Literal

from cellar.nn.spec.base import Decay, Rate
from cellar.nn.training.optimiser import GRADIENT, Optimiser


class Momentum(Optimiser):
    """Gradient descent with a velocity."""

    type: Literal["momentum"]
    learning_rate: Rate = 0.01
    momentum: Decay = 0.9
    equations: ClassVar[str] = f"""{GRADIENT}
    param momentum: scalar
    state v: in
    v = momentum * v + g
    output = w - rate * v
    """
