"""The negative log-likelihood of a Gaussian distribution."""

from typing import ClassVar, Literal

from cellar.nn.training.loss import Loss


class GaussianLoss(Loss):
    """Mean of −log p(t): x is the mean and softplus(s) + 0.001 the deviation, s the second output of each target."""

    type: Literal["gaussian"]
    forecasts: ClassVar[bool] = False
    inputs: ClassVar[tuple[str, ...]] = ("x", "s")
    # log sqrt(2 pi) = 0.9189385
    equations: ClassVar[str] = """
        deviation = softplus(s) + 0.001
        z = (target - x) / deviation
        output = mean(log(deviation) + 0.5 * (z * z)) + 0.9189385
    """
