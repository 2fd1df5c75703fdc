"""Recognises a signal combined with a function of itself, such as x * sigmoid(x), as one activation function.

v1 = sigmoid(x)
output = x * v1
"""

import re
from dataclasses import replace

from cellar.interchange.chain import ImportedLayer, stateless
from cellar.interchange.onnx.values import Signal
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.recurrent import EquationsSpec, RecurrentSpec

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
