"""A table of PyTorch's activation modules: their equations and settings. A new one is one line."""

from collections.abc import Mapping

from cellar.interchange.activations import TEXTS, Text
from cellar.nn.model.layers.dense import Activation, DenseSpec
from cellar.nn.model.layers.recurrent import EquationsSpec, RecurrentSpec

FUNCTIONS: Mapping[str, Text] = {
    "Tanh": Text("tanh({v})"),
    "ReLU": Text("relu({v})"),
    "Sigmoid": Text("sigmoid({v})"),
    "Softmax": Text("softmax({v})"),
    "LogSoftmax": TEXTS["log_softmax"],
    "Softplus": Text("softplus({beta} * {v}) / {beta}", {"beta": 1.0}),
    "ELU": TEXTS["elu"],
    "CELU": TEXTS["celu"],
    "SELU": Text("1.0507009873554805 * (relu({v}) + 1.6732632423543772 * (exp(min({v}, 0)) - 1))"),
    "LeakyReLU": Text("relu({v}) + {negative_slope} * min({v}, 0)", {"negative_slope": 0.01}),
    "ReLU6": Text("min(relu({v}), 6)"),
    "Hardtanh": Text("min(max({v}, {min_val}), {max_val})", {"min_val": -1.0, "max_val": 1.0}),
    "Hardsigmoid": Text("min(relu({v} + 3), 6) / 6"),
    "Hardswish": Text("{v} * min(relu({v} + 3), 6) / 6"),
    "SiLU": TEXTS["silu"],
    "Mish": TEXTS["mish"],
    "GELUTanh": Text("0.5 * {v} * (1 + tanh(0.7978845608028654 * ({v} + 0.044715 * {v} * {v} * {v})))"),
    "Softsign": TEXTS["softsign"],
    "Tanhshrink": TEXTS["tanh_shrink"],
    "LogSigmoid": TEXTS["log_sigmoid"],
    "Identity": Text("{v}"),
    "LayerNormPlain": Text(
        "({v} - mean({v})) / sqrt(mean(({v} - mean({v})) * ({v} - mean({v}))) + {eps})", {"eps": 1e-5}
    ),
}
"""By the class in torch.nn, with its settings and their defaults. GELUTanh is GELU(approximate="tanh"), and
LayerNormPlain is LayerNorm without weights. The texts stay as they are: an export finds the class by its text."""

DENSE: Mapping[str, Activation] = {"Tanh": "tanh", "ReLU": "relu", "Sigmoid": "sigmoid", "Softmax": "softmax"}
"""Activations that become part of the dense layer before them, with their names there."""

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


def function_layer(kind: str, settings: Mapping[str, float], size: int) -> RecurrentSpec:
    """Return a layer without state and parameters that computes a function of `size` numbers."""
    return RecurrentSpec(cell=EquationsSpec(equations=function_text(kind, settings)), hidden_size=size)


def function_text(kind: str, settings: Mapping[str, float]) -> str:
    """Return the equations of a function."""
    function = FUNCTIONS[kind]
    values = {name: _number(settings.get(name, default)) for name, default in function.numbers.items()}
    return f"output = {function.text.format(v='x', **values)}"


def joined(layer: DenseSpec, kind: str) -> DenseSpec:
    """Return a dense layer with one of the activations in `DENSE`."""
    return layer.model_copy(update={"activation": DENSE[kind]})


def _number(value: float) -> str:
    """Return a number as the cell language reads it."""
    text = repr(float(value))
    return f"({text})" if text.startswith("-") else text
