"""The cross entropy, for one class of several."""

from typing import ClassVar, Literal

from cellar.nn.training.class_loss import ClassLoss


class CrossEntropy(ClassLoss):
    """−Σ t log softmax(x), where t is a class index from 0, or a probability for each class (sum: 1 ± 0.001)."""

    type: Literal["cross_entropy"]
    equations: ClassVar[str] = "output = sum(target * (logsumexp(x) - x))"
