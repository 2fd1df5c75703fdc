"""The optimiser of plain gradient descent."""

from typing import ClassVar, Literal

from cellar.nn.spec.base import Rate
from cellar.nn.training.optimiser import GRADIENT, Optimiser


class Sgd(Optimiser):
    """Plain gradient descent."""

    type: Literal["sgd"]
    learning_rate: Rate = 0.1
    equations: ClassVar[str] = f"""{GRADIENT}
    output = w - rate * g
    """
