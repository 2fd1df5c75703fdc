"""Converts activation functions of Keras, and layers that only apply one, to the cell language."""

from collections.abc import Mapping
from typing import Any

from cellar.errors import ImportRefused
from cellar.interchange.activations import Activation

_NAMED: dict[str, Activation] = {
    "linear": Activation("identity"),
    "tanh": Activation("tanh"),
    "sigmoid": Activation("sigmoid"),
    "relu": Activation("relu"),
    "softplus": Activation("softplus"),
    "softmax": Activation("softmax"),
    "softsign": Activation("softsign"),
    "elu": Activation("elu", {"alpha": 1.0}),
    "celu": Activation("celu", {"alpha": 1.0}),
    "selu": Activation("selu", {"alpha": 1.6732632, "gamma": 1.050701}),
    "exponential": Activation("exp"),
    "silu": Activation("silu"),
    "swish": Activation("silu"),
    "leaky_relu": Activation("leaky_relu", {"alpha": 0.2}),
    "relu6": Activation("clip", {"low": 0.0, "high": 6.0}),
    "hard_tanh": Activation("clip", {"low": -1.0, "high": 1.0}),
    "hard_silu": Activation("hard_silu"),
    "hard_swish": Activation("hard_silu"),
    "mish": Activation("mish"),
    "log_sigmoid": Activation("log_sigmoid"),
    "log_softmax": Activation("log_softmax"),
    "tanh_shrink": Activation("tanh_shrink"),
    "soft_shrink": Activation("soft_shrink", {"theta": 0.5}),
    "squareplus": Activation("squareplus", {"beta": 4.0}),
}

_HARD_SIGMOID = {
    2: Activation("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}),
    3: Activation("hard_sigmoid_sixth"),
}
"""By the major version of Keras, which changed its slope."""

LAYERS = ("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax")


def activation_of(value: Any, version: int, place: str) -> Activation:
    """Return the function that a configuration names. Raise ImportRefused for one that cells cannot express."""
    if value is None:
        return Activation("identity")
    if isinstance(value, Mapping):
        name, config = value.get("class_name"), value.get("config")
        if name in LAYERS and isinstance(config, Mapping):
            return layer_activation(name, config, version, place)
        value = config if isinstance(config, str) else name
    if value == "hard_sigmoid":
        return _HARD_SIGMOID[version]
    if not isinstance(value, str) or value not in _NAMED:
        raise ImportRefused(
            f"the activation {str(value)[:64]!r} cannot be expressed",
            place=place,
            expected=f"one of {', '.join(sorted([*_NAMED, 'hard_sigmoid']))}",
            actual=str(value)[:64],
        )
    return _NAMED[value]


def layer_activation(class_name: str, config: Mapping[str, Any], version: int, place: str) -> Activation:
    """Return the function of a layer that is nothing else. Raise ImportRefused."""
    match class_name:
        case "ReLU":
            return _relu(config, place)
        case "LeakyReLU":
            slope = config.get("negative_slope", config.get("alpha", 0.3))
            return Activation("leaky_relu", {"alpha": _number(slope, place)})
        case "ELU":
            return Activation("elu", {"alpha": _number(config.get("alpha", 1.0), place)})
        case "Softmax":
            if config.get("axis", -1) not in (-1, [-1]):
                raise ImportRefused("softmax along another axis than the last", place=place, expected="axis -1")
            return Activation("softmax")
        case _:
            return activation_of(config.get("activation"), version, place)


def _relu(config: Mapping[str, Any], place: str) -> Activation:
    """Return the function of a ReLU: v above the threshold, at most `max_value`; below, a slope from the threshold."""
    slope, theta = (_number(config.get(name) or 0.0, place) for name in ("negative_slope", "threshold"))
    high = None if config.get("max_value") is None else _number(config["max_value"], place)
    if theta or (slope and high is not None):
        numbers = {"theta": theta, "alpha": slope} | ({} if high is None else {"high": high})
        return Activation("thresholded_leaky_relu" + ("" if high is None else "_below"), numbers)
    if slope:
        return Activation("leaky_relu", {"alpha": slope})
    return Activation("relu") if high is None else Activation("clip", {"low": 0.0, "high": high})


def _number(value: Any, place: str) -> float:
    """Return a number of a configuration; NumPy's are written as objects."""
    if isinstance(value, Mapping):
        value = value.get("config", {}).get("value") if isinstance(value.get("config"), Mapping) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ImportRefused("this is no number", place=place, expected="a number", actual=str(value)[:64])
    return float(value)
