"""Converts activation functions of ONNX, in recurrent operators and as operators, to the cell language."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from cellar.interchange.activations import Activation
from cellar.interchange.chain import ImportedLayer, stateless
from cellar.interchange.onnx.model_file import Node
from cellar.interchange.onnx.values import Signal
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.recurrent import EquationsSpec, RecurrentSpec


@dataclass(frozen=True, slots=True)
class Numbers:
    """A function of recurrent operators: what it is here, and the numbers it takes with their defaults.

    None is a number that the documents give no default for.
    """

    name: str
    alpha: tuple[str, float | None] | None = None
    beta: tuple[str, float | None] | None = None


RECURRENT: dict[str, Numbers] = {
    "tanh": Numbers("tanh"),
    "relu": Numbers("relu"),
    "sigmoid": Numbers("sigmoid"),
    "softplus": Numbers("softplus"),
    "softsign": Numbers("softsign"),
    "affine": Numbers("affine", ("alpha", 1.0), ("beta", 0.0)),
    "leakyrelu": Numbers("leaky_relu", ("alpha", 0.01)),
    "thresholdedrelu": Numbers("thresholded_relu", ("theta", 1.0)),
    "scaledtanh": Numbers("scaled_tanh", ("alpha", None), ("beta", None)),
    "hardsigmoid": Numbers("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "elu": Numbers("elu", ("alpha", 1.0)),
}
"""By their names in small letters."""


def recurrent_activations(node: Node, default: list[str]) -> list[Activation]:
    """Return the functions of a recurrent node. `activation_alpha` and `_beta` go to those that take one, in order.

    Raise ImportRefused for an unknown function, too few functions, and numbers that no function takes.
    """
    names = node.attribute("activations") or default
    if len(names) != len(default):
        raise node.refused(
            "it has another number of activations", expected=str(len(default)), actual=", ".join(names)[:128]
        )
    alphas, betas = list(node.attribute("activation_alpha", [])), list(node.attribute("activation_beta", []))
    found = []
    for name in names:
        known = RECURRENT.get(name.lower())
        if known is None:
            raise node.refused(
                f"the activation {name[:64]!r} is none of recurrent operators",
                expected=", ".join(RECURRENT),
                actual=name[:64],
            )
        taken = [(known.alpha, alphas), (known.beta, betas)]
        found.append(Activation(known.name, dict(_number(node, name, *each) for each in taken if each[0] is not None)))
    for what, left in (("activation_alpha", alphas), ("activation_beta", betas)):
        if left:
            raise node.refused(
                f"{what} has more numbers than activations that take one",
                actual=f"{node.attribute(what)} for {', '.join(names)}"[:128],
            )
    return found


def _number(
    node: Node, name: str, parameter: tuple[str, float | None] | None, values: list[float]
) -> tuple[str, float]:
    assert parameter is not None
    value = values.pop(0) if values else parameter[1]
    if value is None:
        raise node.refused(f"{name} has no alpha or beta, and the documents of ONNX give no default")
    return parameter[0], value


def _gelu(node: Node) -> Activation:
    if node.attribute("approximate", "none") != "tanh":
        raise node.refused("cells have no error function", expected='approximate = "tanh"')
    return Activation("gelu_tanh")


OPERATORS: dict[str, Callable[[Node], Activation]] = {
    "Gelu": _gelu,
    "Relu": lambda _: Activation("relu"),
    "Tanh": lambda _: Activation("tanh"),
    "Sigmoid": lambda _: Activation("sigmoid"),
    "Softplus": lambda _: Activation("softplus"),
    "Softsign": lambda _: Activation("softsign"),
    "Exp": lambda _: Activation("exp"),
    "Log": lambda _: Activation("log"),
    "Sqrt": lambda _: Activation("sqrt"),
    "Abs": lambda _: Activation("abs"),
    "Neg": lambda _: Activation("negative"),
    "Reciprocal": lambda _: Activation("reciprocal"),
    "Mish": lambda _: Activation("mish"),
    "HardSwish": lambda _: Activation("hard_silu"),
    "Elu": lambda node: Activation("elu", {"alpha": node.attribute("alpha", 1.0)}),
    "Celu": lambda node: Activation("celu", {"alpha": node.attribute("alpha", 1.0)}),
    "LeakyRelu": lambda node: Activation("leaky_relu", {"alpha": node.attribute("alpha", 0.01)}),
    "ThresholdedRelu": lambda node: Activation("thresholded_relu_strict", {"theta": node.attribute("alpha", 1.0)}),
    "HardSigmoid": lambda node: Activation(
        "hard_sigmoid", {"alpha": node.attribute("alpha", 0.2), "beta": node.attribute("beta", 0.5)}
    ),
    "Selu": lambda node: Activation(
        "selu", {"alpha": node.attribute("alpha", 1.6732632), "gamma": node.attribute("gamma", 1.050701)}
    ),
}
"""Element by element, by operator."""
ALONG_NUMBERS = {"Softmax": Activation("softmax"), "LogSoftmax": Activation("log_softmax")}
"""Along an axis, which must be that of all numbers of a step."""


# --- a signal and a function of itself, which are one function: x * sigmoid(x) is v1 = sigmoid(x), output = x * v1

_OUTPUT = "output = "


def function_of_both(first: Signal, second: Signal, symbol: str, place: str) -> Signal | None:
    """Return `first symbol second` if one is a function of the other, or None."""
    first_of_second = len(first.layers) > len(second.layers) or _is_activated(first, second)
    short, long = (second, first) if first_of_second else (first, second)
    lines = _lines(short, long)
    if lines is None:
        return None
    own = f"v{len(lines)}" if lines else "x"
    words = f"{own} {symbol} x" if first_of_second else f"x {symbol} {own}"
    text = "\n".join([*lines, f"{_OUTPUT}{words}"])
    layer = stateless(text, short.width or 1, {}, place)
    return replace(short, layers=(*short.layers, layer), state=False)


def _lines(short: Signal, long: Signal) -> list[str] | None:
    """Return the equations v1, v2, ... that lead from one signal to the other; None if other layers do."""
    if _is_activated(long, short):
        spec = long.layers[-1].spec
        assert isinstance(spec, DenseSpec)
        return [f"v1 = {spec.activation}(x)"]
    if long.layers[: len(short.layers)] != short.layers:
        return None
    lines: list[str] = []
    for layer in long.layers[len(short.layers) :]:
        text = _function_text(layer)
        if text is None:
            return None
        lines.append(re.sub(r"\bx\b", f"v{len(lines)}" if lines else "x", f"v{len(lines) + 1} = {text}"))
    return lines


def _function_text(layer: ImportedLayer) -> str | None:
    """Return the expression of a layer that is one line of equations without parameters."""
    if not isinstance(layer.spec, RecurrentSpec) or not isinstance(layer.spec.cell, EquationsSpec) or layer.weights:
        return None
    text = layer.spec.cell.equations
    return text.removeprefix(_OUTPUT) if text.startswith(_OUTPUT) and "\n" not in text else None


def _is_activated(signal: Signal, plain: Signal) -> bool:
    """Return whether a signal is that of a dense layer, to which only an activation was added."""
    if not signal.layers or len(signal.layers) != len(plain.layers) or signal.layers[:-1] != plain.layers[:-1]:
        return False
    last, before = signal.layers[-1], plain.layers[-1]
    if not isinstance(last.spec, DenseSpec) or not isinstance(before.spec, DenseSpec):
        return False
    return (
        before.spec.activation == "identity" and last.spec.activation != "identity" and last.weights is before.weights
    )
