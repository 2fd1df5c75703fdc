"""A network: a chain of layers, each a cell over time, with one flat state and parameters named by layer."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.nn.compiled import CompiledNetwork
from cellar.nn.init import draw
from cellar.nn.layers import Layer, build_layer
from cellar.nn.spec import MAX_PARAMETERS, MAX_STATE, NetworkSpec


@dataclass(frozen=True, slots=True)
class NetworkState:
    """One state of one layer: `size` floats at `offset` in a row of the network's state."""

    layer: int
    cell: str
    """What the layer is called: the built-in cell's name, or "custom"."""
    name: str
    size: int
    offset: int


class Network:
    """A checked specification: what the network has, and how it begins. Holds no weights.

    `pointer` is where the specification stands in the request. Raise InvalidInput, CellError among them, for a
    specification that describes no network.
    """

    def __init__(self, spec: NetworkSpec, *, pointer: str = "") -> None:
        self.spec = spec
        self.in_size = spec.in_size
        self.layers = _build_layers(spec, pointer)
        self.out_size = self.layers[-1].cell.out_size
        self.state_size = sum(layer.cell.state_size for layer in self.layers)
        self.states = _place_states(self.layers)
        self.parameters: tuple[tuple[str, tuple[int, ...]], ...] = tuple(
            (f"{index}.{name}", shape)
            for index, layer in enumerate(self.layers)
            for name, shape in layer.shapes.items()
        )
        """Names and shapes: "0.Wi_r", ..., and "0.h0" for a trainable initial state."""
        self.parameter_count = sum(math.prod(shape) for _, shape in self.parameters)
        _check_limits(self, pointer)

    @property
    def digest(self) -> str:
        """Return the sha256 of what decides how weights are read: equations with names, sizes, initial states."""
        layers = [
            [
                layer.cell.digest,
                sorted(layer.shapes.items()),
                [state.size for state in layer.cell.states],
                layer.cell.out_size,
            ]
            for layer in self.layers
        ]
        return hashlib.sha256(json.dumps([self.in_size, layers]).encode()).hexdigest()

    def init(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Return new weights. The same seed gives the same bits on every machine."""
        return {
            f"{index}.{name}": draw(layer.init[name], shape, layer.fans[name], seed, f"{index}.{name}")
            for index, layer in enumerate(self.layers)
            for name, shape in layer.shapes.items()
        }

    def check_weights(self, weights: Mapping[str, NDArray[np.float32]], *, pointer: str = "") -> None:
        """Raise InvalidInput, ShapeMismatch or NotFinite unless these are weights of this network."""
        expected = dict(self.parameters)
        for name in sorted(expected.keys() ^ weights.keys()):
            fault = "is missing" if name in expected else "is no parameter of this network"
            raise InvalidInput(f"the weight {name[:64]!r} {fault}", pointer=pointer, expected=", ".join(expected))
        for name, shape in expected.items():
            if weights[name].shape != shape:
                raise ShapeMismatch(
                    f"the weight {name!r} has another shape",
                    pointer=pointer,
                    expected=str(shape),
                    actual=str(weights[name].shape),
                )
            if not np.isfinite(weights[name]).all():
                raise NotFinite(f"the weight {name!r} holds a number that is not finite", pointer=pointer)

    def compile(self, cache: KernelCache) -> CompiledNetwork:
        """Return the network with a kernel for every layer. Raise CompileFailed."""
        return CompiledNetwork(self, cache)


def _build_layers(spec: NetworkSpec, pointer: str) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    size = spec.in_size
    for index, layer in enumerate(spec.layers):
        layers.append(build_layer(layer, size, f"{pointer}/layers/{index}"))
        size = layers[-1].cell.out_size
    return tuple(layers)


def _place_states(layers: tuple[Layer, ...]) -> tuple[NetworkState, ...]:
    places: list[NetworkState] = []
    offset = 0
    for index, layer in enumerate(layers):
        for state in layer.cell.states:
            places.append(NetworkState(index, layer.label, state.name, state.size, offset))
            offset += state.size
    return tuple(places)


def _check_limits(network: Network, pointer: str) -> None:
    for what, count, limit in (
        ("parameters", network.parameter_count, MAX_PARAMETERS),
        ("numbers of state", network.state_size, MAX_STATE),
    ):
        if count > limit:
            raise InvalidInput(
                f"the network is too large: {count} {what}",
                pointer=pointer,
                expected=f"at most {limit}",
                actual=str(count),
            )
