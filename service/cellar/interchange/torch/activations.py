"""A table of PyTorch's activation modules: their equations and settings. A new one is one line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from cellar.nn.model.layers.dense import Activation, DenseSpec
from cellar.nn.model.layers.recurrent import EquationsSpec, RecurrentSpec


@dataclass(frozen=True, slots=True)
class Function:
    """A function of each step's numbers."""

    equations: str
    """One line of the cell language, in which `{name}` stands for a setting."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Names and defaults, as PyTorch has them."""
    dense: Activation | None = None
    """The name of the activation in a dense layer, if it has it."""


FUNCTIONS: Mapping[str, Function] = {
    "Tanh": Function("tanh(x)", dense="tanh"),
    "ReLU": Function("relu(x)", dense="relu"),
    "Sigmoid": Function("sigmoid(x)", dense="sigmoid"),
    "Softmax": Function("softmax(x)", dense="softmax"),
    "LogSoftmax": Function("x - logsumexp(x)"),
    "Softplus": Function("softplus({beta} * x) / {beta}", {"beta": 1.0}),
    "ELU": Function("relu(x) + {alpha} * (exp(min(x, 0)) - 1)", {"alpha": 1.0}),
    "CELU": Function("relu(x) + {alpha} * (exp(min(x, 0) / {alpha}) - 1)", {"alpha": 1.0}),
    "SELU": Function("1.0507009873554805 * (relu(x) + 1.6732632423543772 * (exp(min(x, 0)) - 1))"),
    "LeakyReLU": Function("relu(x) + {negative_slope} * min(x, 0)", {"negative_slope": 0.01}),
    "ReLU6": Function("min(relu(x), 6)"),
    "Hardtanh": Function("min(max(x, {min_val}), {max_val})", {"min_val": -1.0, "max_val": 1.0}),
    "Hardsigmoid": Function("min(relu(x + 3), 6) / 6"),
    "Hardswish": Function("x * min(relu(x + 3), 6) / 6"),
    "SiLU": Function("x * sigmoid(x)"),
    "Mish": Function("x * tanh(softplus(x))"),
    "GELUTanh": Function("0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))"),
    "Softsign": Function("x / (1 + abs(x))"),
    "Tanhshrink": Function("x - tanh(x)"),
    "LogSigmoid": Function("-softplus(-x)"),
    "Identity": Function("x", dense="identity"),
    "LayerNormPlain": Function("(x - mean(x)) / sqrt(mean((x - mean(x)) * (x - mean(x))) + {eps})", {"eps": 1e-5}),
}
"""By the class in torch.nn; the last but one is GELU(approximate="tanh"), the last LayerNorm without weights."""

INEXPRESSIBLE: Mapping[str, str] = {
    "GELU": "the cell language has no error function; GELU(approximate='tanh') can be expressed",
    "BatchNorm1d": "its running mean and variance are state of the training; fold them into the layer before it",
    "PReLU": "its slope is a parameter; a cell with equations can express it",
    "Conv1d": "a convolution reads several steps at once",
    "MultiheadAttention": "attention reads all earlier steps",
    "TransformerEncoder": "attention reads all earlier steps",
    "Flatten": "it joins steps",
}
"""Modules that people have in recurrent networks, and why they are refused."""

DENSE = {name for name, function in FUNCTIONS.items() if function.dense is not None and name != "Identity"}
"""Activations that become part of the dense layer before them."""

assert {function.dense for function in FUNCTIONS.values()} - {None} <= set(get_args(Activation))


def function_layer(kind: str, settings: Mapping[str, float], size: int) -> RecurrentSpec:
    """Return a layer without state and parameters that computes a function of `size` numbers."""
    return RecurrentSpec(cell=EquationsSpec(equations=function_text(kind, settings)), hidden_size=size)


def function_text(kind: str, settings: Mapping[str, float]) -> str:
    """Return the equations of a function."""
    function = FUNCTIONS[kind]
    values = {name: _number(settings.get(name, default)) for name, default in function.settings.items()}
    return f"output = {function.equations.format(**values)}"


def joined(layer: DenseSpec, kind: str) -> DenseSpec:
    """Return a dense layer with one of the activations in `DENSE`."""
    return layer.model_copy(update={"activation": FUNCTIONS[kind].dense})


def _number(value: float) -> str:
    """Return a number as the cell language reads it."""
    text = repr(float(value))
    return f"({text})" if text.startswith("-") else text
