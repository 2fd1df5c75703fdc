"""A checked network: its layers in execution order, the layout of its state, and its named parameters."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cellar.engine import INPUT, Floats
from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.memory.file_mapping import all_finite
from cellar.nn.model.embedding import Embedding
from cellar.nn.model.initialisers import Fan, Initial, Shape, draw
from cellar.nn.model.layer import Layer
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.nn.model.lowering import flatten
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.readings.rows import RowReader

MAX_PARAMETERS = 16 * 1024 * 1024
"""The most parameters: 64 MiB of float32, the largest blob in Redis."""
MAX_STATE = 256 * 1024
"""The most numbers in the state of a row: 1 MiB, which every step writes to Redis."""


def document_of(spec: NetworkSpec) -> dict[str, Any]:
    """Return a specification as the JSON that a version stores."""
    return spec.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True, slots=True)
class NetworkState:
    """One state of one layer: `size` floats at `offset` in a row of the state of the network."""

    layer: int
    """The number of the layer (`Layer.number`)."""
    cell: str
    """The name of the built-in cell, or "custom"."""
    name: str
    size: int
    offset: int


class Network:
    """A checked specification with everything that follows from it. It holds no weights.

    `pointer` is the JSON pointer of the specification in the request. Raise InvalidInput, or CellError, for a
    specification that is not valid.
    """

    def __init__(self, spec: NetworkSpec, *, pointer: str = "") -> None:
        self.spec = spec
        self.in_size = spec.in_size
        flat = flatten(spec.layers, spec.in_size, pointer)
        self.embedding = flat.embedding
        """The embedding of the input, None without one."""
        self.forecast: ForecastSpec | None = flat.forecast
        """The forecast that the outputs are, None without one."""
        self.readings = flat.readings
        """The readings whose rows are the input, None without any."""
        self.layers = flat.layers
        self.output = flat.output
        """The signal of the outputs."""
        self.out_size = flat.out_size
        self.whole_sequences = any(layer.reverse for layer in self.layers)
        """Whether each call must be a whole sequence: then no layer carries a state to the next call."""
        self.states = () if self.whole_sequences else _place_states(self.layers)
        self.state_size = sum(state.size for state in self.states)
        self._begins = tuple(_parameters(self.embedding, self.layers))
        self.parameters = tuple((begin.name, begin.shape) for begin in self._begins)
        """Names and shapes of parameters: "0.Wi_r", ..., and "0.h0" for a trainable initial state."""
        self.parameter_count = sum(math.prod(shape) for _, shape in self.parameters)
        self.row_numbers = sum(_numbers_made(layer) for layer in self.layers)
        """Estimate of how many intermediate numbers a step of one row computes."""
        _check_limits(self, pointer)

    bits_promised = True

    @property
    def takes_ids(self) -> bool:
        """Whether inputs are ids or readings, of which only known ones are accepted; otherwise they are any numbers."""
        return self.embedding is not None or self.readings is not None

    @property
    def row_reader(self) -> RowReader | None:
        """Reads rows of readings; None if inputs are plain numbers."""
        return None if self.readings is None else self.readings.reader

    @property
    def first_size(self) -> int:
        """The numbers that the first layer reads: of an input, a row of the embedding, or encoded readings."""
        if self.readings is not None:
            return self.readings.layout.encoded_size
        return self.in_size if self.embedding is None else self.embedding.out_size

    @cached_property
    def frozen(self) -> frozenset[str]:
        """The names of parameters that are never trained."""
        return frozenset(f"{layer.name}.{name}" for layer in self.layers if layer.frozen for name in layer.shapes)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The specification as the JSON that a version stores."""
        return document_of(self.spec)

    @property
    def digest(self) -> str:
        """Return a SHA-256 of all that gives weights their meaning: equations with names, sizes, initial states.

        Properties that only some networks have are included only for these, so that the digests of others stay the
        same.
        """
        content: list[Any] = [self.in_size, [_identity(index, layer) for index, layer in enumerate(self.layers)]]
        if self.embedding is not None:
            content.append({"embedding": self.embedding.shape})
        if self.forecast is not None:
            content.append({"forecast": self.forecast.model_dump(mode="json")})
        if self.readings is not None:
            content.append({"readings": self.document["layers"][0]})
        if self.output != (len(self.layers) - 1,):
            content.append({"output": self.output})
        if self.spec.weight_storage != "float32":
            content.append({"weight_storage": self.spec.weight_storage})
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def check_inputs(self, inputs: Floats, pointer: str = "") -> None:
        """Raise IdUnknown or TypeMismatch if inputs (T, B, in_size) have an unknown id, or are no readings."""
        if self.readings is not None:
            left_out: Any = (inputs == 0).all(axis=2)
            self.readings.reader.check(inputs, left_out, lambda *_: pointer)
        if self.embedding is not None:
            self.embedding.check(inputs, pointer)

    def check_states(self, states: Floats, pointer: str = "") -> None:
        """Accept states (rows, state_size): all finite numbers are states of cells."""

    def init(self, seed: int) -> dict[str, Floats]:
        """Return random initial weights. The same seed gives the same bits on every machine."""
        return {begin.name: draw(begin.init, begin.shape, begin.fan, seed, begin.name) for begin in self._begins}

    def check_weights(self, weights: Mapping[str, Floats]) -> None:
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
            if not all_finite(weights[name]):
                raise NotFinite(f"the weight {name!r} holds a number that is not finite")


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    shape: Shape
    init: Initial
    fan: Fan


def _parameters(embedding: Embedding | None, layers: tuple[Layer, ...]) -> Iterator[_Parameter]:
    if embedding is not None:
        yield _Parameter(embedding.name, embedding.shape, embedding.init, embedding.fan)
    for layer in layers:
        for name, shape in layer.shapes.items():
            yield _Parameter(f"{layer.name}.{name}", shape, layer.init[name], layer.fans[name])


def _numbers_made(layer: Layer) -> int:
    """Return how many numbers a layer computes for a row: its output, and the matrix products before its time loop.

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
            name = f"{layer.part}_{state.name}" if layer.part else state.name
            places.append(NetworkState(layer.number, layer.label, name, state.size, offset))
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
