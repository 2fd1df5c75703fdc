"""Networks whose layers nest, straight from their JSON and in float64: NumPy alone, and no code of Cellar.

Recurrent layers are `rnn` with tanh, dense ones have no activation. Gradients are numerical derivatives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class Nested:
    """A network with weights. `masks` are those of dropout layers by number, without which they do nothing."""

    spec: Mapping[str, Any]
    weights: Mapping[str, Array]
    lengths: Array
    masks: Mapping[int, Array] = field(default_factory=dict)
    count: int = 0

    def outputs(self, inputs: Array) -> Array:
        """Return what the network answers to inputs (T, B, F): zeros past a row's length."""
        self.count = 0
        return self.chain(self.spec["layers"], inputs.astype(np.float64)) * self.alive(len(inputs))

    def alive(self, steps: int) -> Array:
        """Return (T, B, 1): 1 before a row's length, 0 from there on."""
        return np.asarray(np.arange(steps)[:, None] < self.lengths[None, :], np.float64)[:, :, None]

    def chain(self, layers: list[dict[str, Any]], x: Array) -> Array:
        """Return what layers after each other answer."""
        for layer in layers:
            x = self.layer(layer, x)
        return x

    def layer(self, layer: dict[str, Any], x: Array) -> Array:
        """Return what a layer answers."""
        if layer["type"] == "residual":
            return x + self.chain(layer["layers"], x)
        number, self.count = self.count, self.count + 1

        def weight(name: str) -> Array:
            return np.asarray(self.weights[f"{number}.{name}"], np.float64)

        match layer["type"]:
            case "embedding":
                return np.asarray(weight("W")[x[:, :, 0].astype(int)])
            case "dropout":
                return np.asarray(x * self.masks.get(number, np.ones(1)))
            case "layer_norm":
                centred = x - x.mean(axis=2, keepdims=True)
                normal = centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-5)
                return np.asarray(weight("g") * normal + weight("b"))
            case "dense":
                return np.asarray(x @ weight("W").T + weight("b"))
            case "recurrent":
                return self.rnn(f"{number}", x)
            case "bidirectional":
                forward, reverse = self.rnn(f"{number}.forward", x), self.rnn(f"{number}.reverse", self.turned(x))
                return np.concatenate([forward, self.turned(reverse)], axis=2)
            case "reverse":
                return self.turned(self.rnn(f"{number}", self.turned(x)))
        raise ValueError(layer)

    def rnn(self, name: str, x: Array) -> Array:
        """Return what an Elman network answers."""
        w = {key: np.asarray(self.weights[f"{name}.{key}"], np.float64) for key in ("Wi", "Wh", "b")}
        h = np.zeros((x.shape[1], len(w["b"]))) + self.weights.get(f"{name}.h0", 0)
        found = []
        for step in x:
            h = np.tanh(step @ w["Wi"].T + h @ w["Wh"].T + w["b"])
            found.append(h)
        return np.stack(found)

    def turned(self, x: Array) -> Array:
        """Return each row from its own end to its start."""
        found = x.copy()
        for row, length in enumerate(self.lengths):
            found[:length, row] = x[:length, row][::-1]
        return found


def numerical(nested: Nested, inputs: Array, d_outputs: Array, name: str, direction: Array) -> float:
    """Return the derivative of <outputs, d_outputs> along a direction of the weight, by central differences."""
    step, middle = 1e-6, nested.weights
    values = []
    for sign in (1, -1):
        nested.weights = {**middle, name: np.asarray(middle[name], np.float64) + sign * step * direction}
        values.append(float((nested.outputs(inputs) * d_outputs).sum()))
    nested.weights = middle
    return (values[0] - values[1]) / (2 * step)
