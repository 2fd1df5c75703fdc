"""The optimiser of plain gradient descent."""

from typing import ClassVar, Literal

from cellar.nn.spec.base import Rate
from cellar.nn.training.optimiser import GRADIENT, Optimiser, Powers


class Sgd(Optimiser):
    """Plain gradient descent."""

    type: Literal["sgd"]
    learning_rate: Rate = 0.1
    equations: ClassVar[str] = f"""{GRADIENT}
    output = w - rate * g
    """

    def scalars(self, rate: float, powers: Powers) -> dict[str, float]:
        """Return the parameters of the equations."""
        return self.coupled(rate)
