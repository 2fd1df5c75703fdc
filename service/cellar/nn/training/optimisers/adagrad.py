"""The optimiser AdaGrad."""

from typing import ClassVar, Literal

from cellar.nn.spec.base import Epsilon, Rate
from cellar.nn.training.optimiser import GRADIENT, Optimiser


class AdaGrad(Optimiser):
    """AdaGrad (Duchi et al. 2011)."""

    type: Literal["adagrad"]
    learning_rate: Rate = 0.1
    epsilon: Epsilon = 1e-8
    equations: ClassVar[str] = f"""{GRADIENT}
    param epsilon: scalar
    state v: in
    v = v + g * g
    output = w - rate * g / (sqrt(v) + epsilon)
    """
