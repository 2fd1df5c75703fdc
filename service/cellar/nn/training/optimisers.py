"""Optimisers as cells: from the gradient `x` and the weights `w` to new weights; what they remember is their state.

All weights of a network are one vector. What optimisers remember is not flushed, however small: a second moment of
1e-30 is that of gradients of 1e-15, which matter where epsilon is smaller. An update whose states are all subnormal
takes up to four times as long. `scale` applies clipping by norm, `decay` is weight decay as part of the gradient,
`shrink` is decoupled weight decay (learning rate times weight decay).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellar.engine import CommandList
from cellar.nn.execution.array_functions import Arithmetic, scaled_by_power
from cellar.nn.spec.training import AdaDelta, AdaGrad, Adam, Lion, Momentum, OptimiserSpec, RmsProp, Sgd

Array = NDArray[np.float32]

_GRADIENT = """
    param scale: scalar
    param decay: scalar
    param rate: scalar
    g = scale * x + decay * w
"""

UPDATES = {
    "sgd": f"""{_GRADIENT}
    output = w - rate * g
""",
    "momentum": f"""{_GRADIENT}
    param momentum: scalar
    state v: in
    v = momentum * v + g
    output = w - rate * v
""",
    "nesterov": f"""{_GRADIENT}
    param momentum: scalar
    state v: in
    v = momentum * v + g
    output = w - rate * (g + momentum * v)
""",
    # arXiv:1412.6980. `rate` and `root` hold the corrections of the bias: rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t).
    "adam": f"""{_GRADIENT}
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
""",
    "rmsprop": f"""{_GRADIENT}
    param keep: scalar
    param take: scalar
    param epsilon: scalar
    state v: in
    v = keep * v + take * (g * g)
    output = w - rate * g / (sqrt(v) + epsilon)
""",
    "adagrad": f"""{_GRADIENT}
    param epsilon: scalar
    state v: in
    v = v + g * g
    output = w - rate * g / (sqrt(v) + epsilon)
""",
    # arXiv:1212.5701
    "adadelta": f"""{_GRADIENT}
    param keep: scalar
    param take: scalar
    param epsilon: scalar
    state v: in
    state u: in
    v = keep * v + take * (g * g)
    d = sqrt(u + epsilon) / sqrt(v + epsilon) * g
    u = keep * u + take * (d * d)
    output = w - rate * d
""",
    # arXiv:2302.06675. The sign is a line of slope 2^149, in two factors, cut at -1 and 1: exact for every number.
    "lion": f"""{_GRADIENT}
    param keep1: scalar
    param take1: scalar
    param keep2: scalar
    param take2: scalar
    param shrink: scalar
    state m: in
    c = keep1 * m + take1 * g
    m = keep2 * m + take2 * g
    output = w - shrink * w - rate * max(min(c * 1267650600228229401496703205376 * 562949953421312, 1), -1)
""",
}
UPDATES["adamw"] = UPDATES["adam"]


_LARGE = 2.0**64
"""A gradient with a norm from here on is scaled before it is clipped: the factor alone could be a subnormal number."""


@dataclass(frozen=True, slots=True)
class OptimiserState:
    """What an optimiser remembers between updates."""

    slots: Array
    """(1, S): its states, each as long as the weights."""
    power1: float = 1.0
    """beta1 to the number of updates, as a float64 product."""
    power2: float = 1.0


@dataclass(frozen=True, slots=True)
class Update:
    """New weights and memory; `finite` is False if a number among them is not."""

    weights: Array
    state: OptimiserState
    finite: bool


class Optimiser:
    """An optimiser, ready to update a vector of `size` weights."""

    def __init__(self, spec: OptimiserSpec, size: int, arithmetic: Arithmetic) -> None:
        self.spec = spec
        self._arithmetic = arithmetic
        self._kernel = arithmetic.kernel(UPDATES[spec.type], {"x": size, "w": size})
        self._scalars: Array = np.zeros(len(self._kernel.cell.params), np.float32)
        views = {param.name: self._scalars[i : i + 1].reshape(()) for i, param in enumerate(self._kernel.cell.params)}
        self._packed = self._kernel.pack(views)
        self._packed.adopt(views)
        self._gradient, self._weights, self._after = (np.zeros((1, 1, size), np.float32) for _ in range(3))
        self._slots, self._slots_after = (np.zeros((1, self._kernel.cell.state_size), np.float32) for _ in range(2))
        self._recording = self._record()

    def start(self) -> OptimiserState:
        """Return the memory before the first update."""
        return OptimiserState(np.zeros((1, self._kernel.cell.state_size), dtype=np.float32))

    def update(self, weights: Array, gradient: Array, state: OptimiserState, rate: float) -> Update:
        """Return the weights (n,) after one update with this gradient (n,) at this learning rate."""
        gradient, scale = self._clip(gradient)
        if isinstance(self.spec, Adam):
            state = replace(state, power1=state.power1 * self.spec.beta1, power2=state.power2 * self.spec.beta2)
        params = {"scale": scale, **self._params(rate, state)}
        for index, param in enumerate(self._kernel.cell.params):
            self._scalars[index] = params[param.name]
        np.copyto(self._gradient[0, 0], gradient)
        np.copyto(self._weights[0, 0], weights)
        np.copyto(self._slots, state.slots)
        finite = self._recording.run()
        return Update(self._after[0, 0].copy(), replace(state, slots=self._slots_after.copy()), finite)

    def _record(self) -> CommandList:
        """Return the one native call of an update: scalars to where kernels read them, and the kernel."""
        recording = self._arithmetic.recording()
        for source, target in self._packed.placed():
            recording.copy(source, target)
        arrays = [self._gradient, self._weights]
        recording.call(self._kernel.bound(self._packed, arrays, self._slots, self._after, self._slots_after))
        return recording

    def _clip(self, gradient: Array) -> tuple[Array, float]:
        """Return the gradient clipped by value, and the factor that clips its norm."""
        if self.spec.clip_value is not None:
            gradient = self._arithmetic.clip(gradient, self.spec.clip_value)
        if self.spec.clip_norm is None:
            return gradient, 1.0
        norm = self._arithmetic.norm(gradient)
        if norm <= self.spec.clip_norm:
            return gradient, 1.0
        if norm < _LARGE or not math.isfinite(norm):
            return gradient, self.spec.clip_norm / norm
        exponent = math.frexp(norm)[1]
        return scaled_by_power(gradient, -exponent), self.spec.clip_norm / math.ldexp(norm, -exponent)

    def _params(self, rate: float, state: OptimiserState) -> Mapping[str, float]:
        """Return the scalars of the cell, computed in float64."""
        decay = self.spec.weight_decay
        plain = {"rate": rate, "decay": decay}
        decoupled = {"rate": rate, "decay": 0.0, "shrink": rate * decay}
        match self.spec:
            case Sgd():
                return plain
            case Momentum(momentum=momentum):
                return plain | {"momentum": momentum}
            case Adam(type=kind, epsilon=epsilon):
                common = (decoupled if kind == "adamw" else plain | {"shrink": 0.0}) | _betas(self.spec)
                correction = {"rate": rate / (1 - state.power1), "root": 1 / math.sqrt(1 - state.power2)}
                return common | correction | {"epsilon": epsilon}
            case RmsProp(rho=rho, epsilon=epsilon) | AdaDelta(rho=rho, epsilon=epsilon):
                return plain | {"keep": rho, "take": 1 - rho, "epsilon": epsilon}
            case AdaGrad(epsilon=epsilon):
                return plain | {"epsilon": epsilon}
            case Lion():
                return decoupled | _betas(self.spec)


def _betas(spec: Adam | Lion) -> dict[str, float]:
    return {"keep1": spec.beta1, "take1": 1 - spec.beta1, "keep2": spec.beta2, "take2": 1 - spec.beta2}
