"""Activation functions of other frameworks, written in the cell language.

Where a function is not one of the language itself, its text names its argument `v` several times, so the argument has
to have a name. Sources: the tables of ONNX's RNN operators, version 22, and keras.activations of Keras 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

PLAIN = ("tanh", "sigmoid", "relu", "softplus", "softmax")
"""Functions of the cell language itself."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A function with the numbers that it is given."""

    name: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Return whether the language has this function, or none is needed."""
        return self.name in PLAIN or self.name == "identity"

    def of(self, argument: str) -> str:
        """Return the text of the function of an argument, which must be a name unless the function is plain."""
        if self.name == "identity":
            return argument
        if self.name in PLAIN:
            return f"{self.name}({argument})"
        words = {name: number_text(value) for name, value in self.numbers.items()}
        return TEXTS[self.name].text.format(v=argument, **words)


@dataclass(frozen=True, slots=True)
class Text:
    """A function in the cell language: `{v}` is its argument, the rest its numbers."""

    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The numbers by name, with the values they have where a file gives none."""


# threshold: 1 - min(max((theta - v) * 1e30, 0), 1) is 1 from theta on and 0 below, since two float32 that are not equal
# differ by more than 1e-30 wherever v * 0 could be told from v * 1.
TEXTS: dict[str, Text] = {
    "affine": Text("{alpha} * {v} + {beta}", {"alpha": 1.0, "beta": 0.0}),
    "celu": Text("relu({v}) + {alpha} * (exp(min({v}, 0) / {alpha}) - 1)", {"alpha": 1.0}),
    "clip": Text("min(max({v}, {low}), {high})"),
    "clip_above": Text("min({v}, {high})"),
    "clip_below": Text("max({v}, {low})"),
    "elu": Text("relu({v}) + {alpha} * (exp(min({v}, 0)) - 1)", {"alpha": 1.0}),
    "exp": Text("exp({v})"),
    "abs": Text("abs({v})"),
    "negative": Text("-{v}"),
    "sqrt": Text("sqrt({v})"),
    "log": Text("log({v})"),
    "reciprocal": Text("1 / {v}"),
    "gelu_tanh": Text("{v} * sigmoid(1.5957691 * ({v} + 0.044715 * {v} * {v} * {v}))"),
    "hard_sigmoid": Text("min(max({alpha} * {v} + {beta}, 0), 1)", {"alpha": 0.2, "beta": 0.5}),
    "hard_sigmoid_sixth": Text("min(max({v} + 3, 0), 6) / 6"),
    "hard_silu": Text("{v} * min(max({v} + 3, 0), 6) / 6"),
    "leaky_relu": Text("max({v}, 0) + {alpha} * min({v}, 0)", {"alpha": 0.01}),
    "log_sigmoid": Text("-softplus(-{v})"),
    "log_softmax": Text("{v} - logsumexp({v})"),
    "mish": Text("{v} * tanh(softplus({v}))"),
    "scaled_tanh": Text("{alpha} * tanh({beta} * {v})", {"alpha": 1.0, "beta": 1.0}),
    "selu": Text("{gamma} * (relu({v}) + {alpha} * (exp(min({v}, 0)) - 1))", {"alpha": 1.6732632, "gamma": 1.050701}),
    "silu": Text("{v} * sigmoid({v})"),
    "soft_shrink": Text("relu({v} - {theta}) - relu(-{v} - {theta})", {"theta": 0.5}),
    "softsign": Text("{v} / (1 + abs({v}))"),
    "squareplus": Text("({v} + sqrt({v} * {v} + {beta})) / 2", {"beta": 4.0}),
    "tanh_shrink": Text("{v} - tanh({v})"),
    "thresholded_leaky_relu": Text(
        "{v} * min(max(({v} - {theta}) * 1e30, 0), 1) - {alpha} * relu({theta} - {v})", {"theta": 1.0, "alpha": 0.25}
    ),
    "thresholded_leaky_relu_below": Text(
        "min(max({v} * min(max(({v} - {theta}) * 1e30, 0), 1), 0), {high}) - {alpha} * relu({theta} - {v})",
        {"theta": 0.5, "alpha": 0.25, "high": 2.0},
    ),
    "thresholded_relu_strict": Text("{v} * min(max(({v} - {theta}) * 1e30, 0), 1)", {"theta": 1.0}),
    "thresholded_relu": Text("{v} * (1 - min(max(({theta} - {v}) * 1e30, 0), 1))", {"theta": 1.0}),
}


def number_text(value: float) -> str:
    """Return the shortest decimal of a float32, in brackets if it is negative."""
    rounded = np.float32(value)
    text = np.format_float_positional(rounded, trim="-") if 1e-4 <= abs(rounded) < 1e7 or not rounded else str(rounded)
    return f"({text})" if text.startswith("-") else text
