"""The negative log-likelihood of a negative binomial distribution, for counts."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from cellar.engine import Floats
from cellar.nn.training.loss import Loss, TargetFault, counts_only


class NegativeBinomialLoss(Loss):
    """Mean of −log p(t) of counts t: exp(x) is the mean m, r = softplus(s) + 0.001, and the variance m + m² / r.

    x and s are the two outputs of each target.
    """

    type: Literal["negative_binomial"]
    forecasts: ClassVar[bool] = False
    inputs: ClassVar[tuple[str, ...]] = ("x", "s")
    # With l = log(m / r): p(t) = G(t + r) / (G(r) t!) sigmoid(-l)^r sigmoid(l)^t. Each log G(z) is taken at z + 3 by
    # Stirling's series. The large parts of the three are joined, so that they do not cancel: u + v - w is 4.
    equations: ClassVar[str] = """
        r = softplus(s) + 0.001
        l = x - log(r)
        k = target + r
        u = r + 3
        v = target + 4
        w = k + 3
        back = (k / (r * (target + 1))) * ((k + 1) / ((r + 1) * (target + 2))) * ((k + 2) / ((r + 2) * (target + 3)))
        f = (0.083333333 - 0.0027777778 / (u * u)) / u
        g = (0.083333333 - 0.0027777778 / (v * v)) / v
        h = (0.083333333 - 0.0027777778 / (w * w)) / w
        large = (u - 0.5) * log(u / w) + (v - 0.5) * log(v / w) + 3.5 * log(w)
        output = mean(large + f + g - h + log(back) + r * softplus(l) + target * softplus(-l)) - 3.0810615
    """

    def faults(self, targets: Floats, out_size: int) -> Iterator[TargetFault]:
        """Yield that targets are counts."""
        yield counts_only(targets)
