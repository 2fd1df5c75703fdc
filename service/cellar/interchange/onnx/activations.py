"""Converts activation functions of ONNX, in recurrent operators and as operators, to the cell language."""

from collections.abc import Callable
from dataclasses import dataclass

from cellar.interchange.activations import Activation
from cellar.interchange.onnx.model_file import Node


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
