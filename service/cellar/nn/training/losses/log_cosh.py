"""The logarithm of the hyperbolic cosine."""

from typing import ClassVar, Literal

from cellar.nn.training.loss import Loss


class LogCoshLoss(Loss):
    """Mean of log cosh(x − t): (x − t)² / 2 near 0, and |x − t| − log 2 far from it."""

    type: Literal["log_cosh"]
    forecasts: ClassVar[bool] = True
    # log cosh e is e + log(1 + exp(-2 e)) - log 2, which loses all digits near 0: up to 1/2 it is Taylor's series, and
    # beyond that the series at 1/2 and the difference.
    equations: ClassVar[str] = """
        error = abs(x - target)
        near = min(error, 0.5)
        far = max(error, 0.5)
        y = near * near
        a = 0.0021869489 - y * (0.00073860296 - y * 0.00025658)
        series = y * (0.5 - y * (0.083333333 - y * (0.022222222 - y * (0.0067460317 - y * a))))
        output = mean(series + (far + softplus(-2 * far) - 0.81326169))
    """
