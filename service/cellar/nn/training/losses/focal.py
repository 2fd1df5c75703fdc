"""The focal loss, for one class of several."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cellar.nn.training.class_loss import ClassLoss


class FocalLoss(ClassLoss):
    """−Σ t (1 − p)^γ log p with p = softmax(x) and γ `gamma` (arXiv:1708.02002); targets as for `cross_entropy`."""

    type: Literal["focal"]
    gamma: Annotated[float, Field(ge=0, le=20)] = 2.0
    # (1 - p)^gamma = exp(gamma log(1 - p)); 1 - p is the sum of the other classes, at least 1e-30.
    equations: ClassVar[str] = """
        param gamma: scalar
        lost = logsumexp(x) - x
        rest = log(max(1 - exp(-lost), 1e-12))
        output = sum(target * exp(gamma * rest) * lost)
    """
