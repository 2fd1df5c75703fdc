"""The optimiser Lion."""

from typing import ClassVar, Literal

from cellar.nn.spec.base import Decay
from cellar.nn.training.optimiser import GRADIENT, Optimiser, Powers, moving_averages


class Lion(Optimiser):
    """Lion (arXiv:2302.06675)."""

    type: Literal["lion"]
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    # The sign is a line of slope 2^149, in two factors, cut at -1 and 1: exact for every number.
    equations: ClassVar[str] = f"""{GRADIENT}
    param keep1: scalar
    param take1: scalar
    param keep2: scalar
    param take2: scalar
    param shrink: scalar
    state m: in
    c = keep1 * m + take1 * g
    m = keep2 * m + take2 * g
    output = w - shrink * w - rate * max(min(c * 1267650600228229401496703205376 * 562949953421312, 1), -1)
    """

    def scalars(self, rate: float, powers: Powers) -> dict[str, float]:
        """Return the parameters of the equations."""
        return self.decoupled(rate) | moving_averages(self.beta1, self.beta2)
