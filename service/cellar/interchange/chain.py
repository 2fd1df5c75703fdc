"""Makes a network of imported layers with their weights, one after the other.

A reader makes an `ImportedLayer` of each layer of a file, with the names that weights have within it. Their numbers in
the network are given here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused, InvalidInput
from cellar.interchange.activations import number_text
from cellar.interchange.imported import ImportedNetwork, check_weights
from cellar.nn.model.layers.dropout import DropoutSpec
from cellar.nn.model.layers.layer_norm import LayerNormSpec
from cellar.nn.model.layers.recurrent import EquationsSpec, RecurrentSpec
from cellar.nn.model.layers.residual import ResidualSpec
from cellar.nn.model.lowering import LayerSpec
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ImportedLayer:
    """A layer and its weights by their names within it: "W", "forward.Wi_r". Two are equal if they are one object."""

    spec: LayerSpec
    weights: Mapping[str, Array]
    place: str
    """The layer or node of the file, which errors name."""
    inner: tuple["ImportedLayer", ...] = ()
    """Of a residual layer: the layers in it. Its `spec` is then a placeholder."""


@dataclass(frozen=True, slots=True)
class _Numbered:
    weights: dict[str, Array] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    """Of each layer that is no composite, by number."""


def network_of(in_size: int, layers: Sequence[ImportedLayer]) -> ImportedNetwork:
    """Return layers as a network, checked. Raise ImportRefused with the place of the layer that is wrong."""
    found = _Numbered()
    try:
        spec = NetworkSpec(in_size=in_size, layers=_specs(layers, found))
        network = Network(spec)
    except ImportRefused:
        raise
    except InvalidInput as error:
        place = _place_at(error.pointer, layers)
        raise ImportRefused(
            f"the network cannot be expressed: {error.detail}",
            place=place,
            expected=error.expected,
            actual=error.actual,
        ) from error
    except ValueError as error:  # pydantic's, for sizes beyond the limits
        raise ImportRefused(
            f"the network cannot be expressed: {_first_line(error)}", place=layers[0].place if layers else "network"
        ) from error
    check_weights(network, found.weights)
    return ImportedNetwork(spec, found.weights)


def residual_sum(
    first: tuple[ImportedLayer, ...], second: tuple[ImportedLayer, ...], place: str
) -> tuple[ImportedLayer, ...] | None:
    """Return the layers that add two signals, each given by the layers up to it; None unless one leads to the other."""
    short, long = sorted((first, second), key=len)
    if short == long or long[: len(short)] != short:
        return None
    return (*short, ImportedLayer(DropoutSpec(rate=0), {}, place, inner=long[len(short) :]))


def stateless(equations: str, size: int, weights: Mapping[str, Array], place: str) -> ImportedLayer:
    """Return a layer of equations without state, `output = ...`, with `size` outputs."""
    spec = RecurrentSpec(cell=EquationsSpec(equations=equations), hidden_size=size)
    return ImportedLayer(spec, weights, place)


def layer_norm(epsilon: float, weights: Mapping[str, Array], place: str) -> ImportedLayer:
    """Return `g * (x - mean) / sqrt(variance + epsilon) + b`."""
    if np.float32(epsilon) == np.float32(1e-5):
        return ImportedLayer(LayerNormSpec(), weights, place)
    text = (
        f"param g: in\nparam b: in\nd = x - mean(x)\noutput = g * (d / sqrt(mean(d * d) + {number_text(epsilon)})) + b"
    )
    return stateless(text, len(weights["g"]), weights, place)


def _specs(layers: Iterable[ImportedLayer], found: _Numbered) -> tuple[LayerSpec, ...]:
    """Return the specifications in order, and collect the weights under their numbers, depth first."""
    specs: list[LayerSpec] = []
    for layer in layers:
        if layer.inner:
            specs.append(ResidualSpec(layers=_specs(layer.inner, found)))
            continue
        number = len(found.places)
        found.places.append(layer.place)
        found.weights.update({f"{number}.{name}": array for name, array in layer.weights.items()})
        specs.append(layer.spec)
    return tuple(specs)


def _place_at(pointer: str, layers: Sequence[ImportedLayer]) -> str:
    """Return the place of the layer that a pointer into the specification leads to."""
    place = "network"
    words = pointer.split("/")[1:]
    while len(words) > 1 and words[0] == "layers" and words[1].isdigit() and int(words[1]) < len(layers):
        layer = layers[int(words[1])]
        place, layers, words = layer.place, layer.inner, words[2:]
    return place


def _first_line(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors()[0]
    return f"{'.'.join(str(word) for word in first['loc'])}: {first['msg']}"
