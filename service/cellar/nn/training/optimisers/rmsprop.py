"""The optimiser RMSProp."""

from typing import ClassVar, Literal

from cellar.nn.spec.base import Decay, Epsilon
from cellar.nn.training.optimiser import GRADIENT, Optimiser, Powers


class RmsProp(Optimiser):
    """RMSProp (Hinton, lecture 6e)."""

    type: Literal["rmsprop"]
    rho: Decay = 0.9
    epsilon: Epsilon = 1e-8
    equations: ClassVar[str] = f"""{GRADIENT}
    param keep: scalar
    param take: scalar
    param epsilon: scalar
    state v: in
    v = keep * v + take * (g * g)
    output = w - rate * g / (sqrt(v) + epsilon)
    """

    def scalars(self, rate: float, powers: Powers) -> dict[str, float]:
        """Return the parameters of the equations."""
        return self.coupled(rate) | {"keep": self.rho, "take": 1 - self.rho, "epsilon": self.epsilon}
