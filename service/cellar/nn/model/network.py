"""A network: layers in execution order, each a cell over time, with one flat state and parameters named by layer."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine import INPUT
from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.nn.model.embedding import Embedding
from cellar.nn.model.initialisers import Fan, Shape, draw
from cellar.nn.model.layer import Layer
from cellar.nn.model.lowering import flatten
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.spec.initialisers import Initialiser

MAX_PARAMETERS = 16 * 1024 * 1024
"""64 MiB of float32: the largest blob that is kept in Redis."""
MAX_STATE = 256 * 1024
"""Numbers of state in a row: 1 MiB that every step writes to Redis."""


@dataclass(frozen=True, slots=True)
class NetworkState:
    """One state of one layer: `size` floats at `offset` in a row of the network's state."""

    layer: int
    """Its number in the specification (`Layer.number`)."""
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
        flat = flatten(spec.layers, spec.in_size, pointer)
        self.embedding = flat.embedding
        """What the input goes through before any layer reads it, None if it is numbers."""
        self.layers = flat.layers
        self.output = flat.output
        """The signal that the network answers."""
        self.out_size = flat.out_size
        self.whole_sequences = any(layer.reverse for layer in self.layers)
        """Whether each call is a sequence from its beginning to its end: no layer carries a state to the next call."""
        self.states = () if self.whole_sequences else _place_states(self.layers)
        self.state_size = sum(state.size for state in self.states)
        self._begins = tuple(_parameters(self.embedding, self.layers))
        self.parameters = tuple((begin.name, begin.shape) for begin in self._begins)
        """Names and shapes: "0.Wi_r", ..., and "0.h0" for a trainable initial state."""
        self.parameter_count = sum(math.prod(shape) for _, shape in self.parameters)
        self.row_numbers = sum(_numbers_made(layer) for layer in self.layers)
        """Estimate of how many intermediate numbers a step of one row computes."""
        _check_limits(self, pointer)

    @property
    def takes_ids(self) -> bool:
        """Whether inputs are ids, which have to be known; else they are any numbers."""
        return self.embedding is not None

    @property
    def digest(self) -> str:
        """Return the sha256 of what decides how weights are read: equations with names, sizes, initial states.

        What only some networks have stands there only if they have it, so that the others keep their digests.
        """
        content: list[Any] = [self.in_size, [_identity(index, layer) for index, layer in enumerate(self.layers)]]
        if self.embedding is not None:
            content.append({"embedding": self.embedding.shape})
        if self.output != (len(self.layers) - 1,):
            content.append({"output": self.output})
        if self.spec.weight_storage != "float32":
            content.append({"weight_storage": self.spec.weight_storage})
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def check_inputs(self, inputs: NDArray[np.float32], pointer: str = "") -> None:
        """Raise IdUnknown for an input (T, B, in_size) that an embedding has no row for."""
        if self.embedding is not None:
            self.embedding.check(inputs, pointer)

    def init(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Return new weights. The same seed gives the same bits on every machine."""
        return {begin.name: draw(begin.init, begin.shape, begin.fan, seed, begin.name) for begin in self._begins}

    def check_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Raise InvalidInput, ShapeMismatch or NotFinite unless these are weights of this network."""
        expected = dict(self.parameters)
        for name in sorted(expected.keys() ^ weights.keys()):
            fault = "is missing" if name in expected else "is no parameter of this network"
            raise InvalidInput(f"the weight {name[:64]!r} {fault}", expected=", ".join(expected))
        for name, shape in expected.items():
            if weights[name].shape != shape:
                raise ShapeMismatch(
                    f"the weight {name!r} has another shape",
                    expected=str(shape),
                    actual=str(weights[name].shape),
                )
            if not np.isfinite(weights[name]).all():
                raise NotFinite(f"the weight {name!r} holds a number that is not finite")


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    shape: Shape
    init: Initialiser
    fan: Fan


def _parameters(embedding: Embedding | None, layers: tuple[Layer, ...]) -> Iterator[_Parameter]:
    if embedding is not None:
        yield _Parameter(embedding.name, embedding.shape, embedding.init, embedding.fan)
    for layer in layers:
        for name, shape in layer.shapes.items():
            yield _Parameter(f"{layer.name}.{name}", shape, layer.init[name], layer.fans[name])


def _numbers_made(layer: Layer) -> int:
    """Return how many numbers a layer makes of a row: its output, and the products that its time loop begins with.

    Kernels keep them in blocks of 16.
    """
    sizes = [layer.cell.out_size, *(shape[0] for shape in layer.shapes.values() if len(shape) == 2)]
    return sum((size + 15) // 16 * 16 for size in sizes)


def _identity(index: int, layer: Layer) -> list[Any]:
    found: list[Any] = [
        layer.cell.digest,
        sorted(layer.shapes.items()),
        [state.size for state in layer.cell.states],
        layer.cell.out_size,
    ]
    before = INPUT if index == 0 else (index - 1,)
    rest = {"reads": layer.reads, "reverse": layer.reverse, "dropout": layer.dropout}
    return found if rest == {"reads": (before,), "reverse": False, "dropout": None} else [*found, rest]


def _place_states(layers: tuple[Layer, ...]) -> tuple[NetworkState, ...]:
    places: list[NetworkState] = []
    offset = 0
    for layer in layers:
        for state in layer.cell.states:
            places.append(NetworkState(layer.number, layer.label, state.name, state.size, offset))
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
