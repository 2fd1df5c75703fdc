"""The negative log-likelihood of Student's t distribution."""

from typing import ClassVar, Literal

from cellar.nn.training.loss import Loss


class StudentLoss(Loss):
    """Mean of −log p(t): x is the centre, softplus(s) + 0.001 the scale, 2 + softplus(d) the degrees of freedom.

    x, s and d are the three outputs of each target.
    """

    type: Literal["student"]
    forecasts: ClassVar[bool] = False
    inputs: ClassVar[tuple[str, ...]] = ("x", "s", "d")
    # With a = degrees / 2, G(a + 1/2) / G(a) is taken at b = a + 3 by its asymptotic series, whose next term is below
    # 2e-7, and brought back by G(a + 1) = a G(a). Half of log pi is 0.5723649.
    equations: ClassVar[str] = """
        a = 1 + 0.5 * softplus(d)
        b = a + 3
        back = (a / (a + 0.5)) * ((a + 1) / (a + 1.5)) * ((a + 2) / (a + 2.5))
        series = 0.5 * log(b) - (0.125 - (0.0052083333 - 0.0015625 / (b * b)) / (b * b)) / b
        scale = softplus(s) + 0.001
        z = (target - x) / scale
        tail = (a + 0.5) * log(1 + z * z / (2 * a))
        output = mean(tail + log(scale) + 0.5 * log(2 * a) + 0.5723649 - series - log(back))
    """
