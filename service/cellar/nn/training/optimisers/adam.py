"""The optimisers Adam and AdamW."""

import math
from typing import ClassVar, Literal

from cellar.nn.spec.base import Decay, Epsilon
from cellar.nn.training.optimiser import GRADIENT, Optimiser, Powers, moving_averages


class Adam(Optimiser):
    """Adam (arXiv:1412.6980), and with decoupled weight decay AdamW (arXiv:1711.05101)."""

    type: Literal["adam", "adamw"]
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    epsilon: Epsilon = 1e-8
    # `rate` and `root` hold the corrections of the bias: rate / (1 - beta1^t) and 1 / sqrt(1 - beta2^t).
    equations: ClassVar[str] = f"""{GRADIENT}
    param keep1: scalar
    param take1: scalar
    param keep2: scalar
    param take2: scalar
    param root: scalar
    param epsilon: scalar
    param shrink: scalar
    state m: in
    state v: in
    m = keep1 * m + take1 * g
    v = keep2 * v + take2 * (g * g)
    output = w - shrink * w - rate * m / (root * sqrt(v) + epsilon)
    """

    @property
    def decays(self) -> Powers:
        """Return both betas."""
        return self.beta1, self.beta2

    def scalars(self, rate: float, powers: Powers) -> dict[str, float]:
        """Return the parameters of the equations."""
        decay = self.decoupled(rate) if self.type == "adamw" else self.coupled(rate) | {"shrink": 0.0}
        corrected = {"rate": rate / (1 - powers[0]), "root": 1 / math.sqrt(1 - powers[1])}
        return decay | moving_averages(self.beta1, self.beta2) | corrected | {"epsilon": self.epsilon}
