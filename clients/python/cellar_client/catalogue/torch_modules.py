"""The modules of a torch.nn.Module in the order in which they are called, as the service names them."""

from collections.abc import Iterator
from typing import Any

FUNCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CELU": ("celu", ("alpha",)),
    "Dropout": ("dropout", ("p",)),
    "ELU": ("elu", ("alpha",)),
    "Hardsigmoid": ("hardsigmoid", ()),
    "Hardswish": ("hardswish", ()),
    "Hardtanh": ("hardtanh", ("min_val", "max_val")),
    "Identity": ("identity", ()),
    "LeakyReLU": ("leaky_relu", ("negative_slope",)),
    "LogSigmoid": ("log_sigmoid", ()),
    "LogSoftmax": ("log_softmax", ()),
    "Mish": ("mish", ()),
    "ReLU": ("relu", ()),
    "ReLU6": ("relu6", ()),
    "SELU": ("selu", ()),
    "SiLU": ("silu", ()),
    "Sigmoid": ("sigmoid", ()),
    "Softmax": ("softmax", ()),
    "Softplus": ("softplus", ("beta",)),
    "Softsign": ("softsign", ()),
    "Tanh": ("tanh", ()),
    "Tanhshrink": ("tanhshrink", ()),
}
"""Modules without parameters, by class: the name that the service has for each, and the settings that are sent."""


def modules_in(module: Any, name: str = "") -> Iterator[str]:
    """Yield a module as the service names it, or those of a Sequential in order. Raise ValueError for another class.

    A module of one's own does not say in which order its `forward` calls what is in it: that must be given by hand.
    """
    kind = next((each.__name__ for each in type(module).__mro__ if each.__module__.startswith("torch.nn.modules")), "")
    if kind == "Sequential":
        for child, inner in module.named_children():
            yield from modules_in(inner, f"{name}.{child}" if name else child)
    elif kind in ("RNN", "RNNCell"):
        yield f"{name or '.'}:{module.nonlinearity}"
    elif kind in ("LSTM", "LSTMCell", "GRU", "GRUCell", "Linear"):
        yield name or "."
    elif kind == "LayerNorm":
        yield f"{name or '.'}:eps={module.eps}"
    elif kind == "Embedding":
        yield f"{name or '.'}:embedding"
    elif kind in FUNCTIONS:
        function, settings = FUNCTIONS[kind]
        yield ":".join((function, *(f"{setting}={getattr(module, setting)}" for setting in settings)))
    elif kind == "GELU" and module.approximate == "tanh":
        yield "gelu_tanh"
    else:
        children = [child for child, _ in module.named_children()]
        raise ValueError(
            f"what {name or type(module).__name__} computes is not known: give `modules`, the order in which its"
            f" `forward` calls {children or 'what is in it'}, with functions where they stand"
        )
