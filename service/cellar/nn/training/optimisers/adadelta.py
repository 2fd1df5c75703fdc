"""The optimiser AdaDelta."""

from typing import ClassVar, Literal

from cellar.nn.spec.base import Decay, Epsilon, Rate
from cellar.nn.training.optimiser import GRADIENT, Optimiser, Powers


class AdaDelta(Optimiser):
    """AdaDelta (arXiv:1212.5701)."""

    type: Literal["adadelta"]
    learning_rate: Rate = 1.0
    rho: Decay = 0.9
    epsilon: Epsilon = 1e-6
    equations: ClassVar[str] = f"""{GRADIENT}
    param keep: scalar
    param take: scalar
    param epsilon: scalar
    state v: in
    state u: in
    v = keep * v + take * (g * g)
    d = sqrt(u + epsilon) / sqrt(v + epsilon) * g
    u = keep * u + take * (d * d)
    output = w - rate * d
    """

    def scalars(self, rate: float, powers: Powers) -> dict[str, float]:
        """Return the parameters of the equations."""
        return self.coupled(rate) | {"keep": self.rho, "take": 1 - self.rho, "epsilon": self.epsilon}
