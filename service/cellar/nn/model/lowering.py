"""Lowers the nested specifications of layers to a flat tuple of layers in execution order, which read signals.

A bidirectional layer becomes two layers, one of which reads in reverse, and its signal has both outputs. A residual
layer ends with a layer that adds two signals. Layers that contain no others are numbered depth first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cellar.engine import INPUT, Cell, Signal
from cellar.errors import InvalidInput
from cellar.nn.model.embedding import Embedding
from cellar.nn.model.layer import Layer
from cellar.nn.readings.readings import Readings
from cellar.nn.spec.base import Frozen

MAX_LAYERS = 64
"""The most layers that contain no others, including those inside residual and bidirectional layers."""


class LayerSpec(Frozen):
    """The base of all kinds of layers. The docstring of each is its line in the docs and in the JSON schema."""

    type: str

    def build(self, in_size: int, pointer: str) -> Layer:
        """Return the single layer of this kind. Raise InvalidInput with a pointer below `pointer`."""
        raise NotImplementedError

    def append_to(self, network: "NetworkBuilder", signal: Signal, pointer: str) -> Signal:
        """Append the layers of this specification, which read `signal`, and return their signal. Raise as `build`.

        A kind that is a single layer only implements `build`.
        """
        number = network.next_number(pointer)
        layer = self.build(network.width(signal), pointer)
        return network.append(replace(layer, name=str(number), number=number, reads=(signal,)))

    @classmethod
    def cells(cls, size: int) -> Iterator[Cell]:
        """Yield cells of that size with all kernels of this kind, for `cellar warm`."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Flat:
    """The layers of a network."""

    embedding: Embedding | None
    """The embedding of the input, None without one."""
    readings: Readings | None
    """The readings whose rows are the input, None without any."""
    layers: tuple[Layer, ...]
    output: Signal
    out_size: int
    forecast: Any = None
    """The specification of the forecast at its end (`layers.forecast`), None without one."""


def flatten(specs: Sequence[LayerSpec], in_size: int, pointer: str) -> Flat:
    """Return the layers of a network, whose pointer is `pointer`. Raise InvalidInput with a pointer below it."""
    network = NetworkBuilder(in_size, pointer)
    output = network.chain(specs, INPUT, f"{pointer}/layers")
    layers = tuple(network.layers)
    if served(layers, output) == INPUT:
        raise InvalidInput(
            "the network computes nothing",
            pointer=f"{pointer}/layers",
            expected="a layer besides embedding and dropout",
        )
    forecast = None if network.forecast is None else network.forecast[0]
    return Flat(network.embedding, network.readings, layers, output, network.width(output), forecast)


def served(layers: Sequence[Layer], signal: Signal) -> Signal:
    """Return the signal without dropout layers, as it is outside of training."""
    while len(signal) == 1 and signal != INPUT and layers[signal[0]].dropout is not None:
        (signal,) = layers[signal[0]].reads
    return signal


class NetworkBuilder:
    """Collects the layers of a network."""

    def __init__(self, in_size: int, pointer: str) -> None:
        self.in_size = in_size
        self.pointer = pointer
        self.embedding: Embedding | None = None
        self.forecast: tuple[LayerSpec, str] | None = None
        """The forecast and its pointer, once it is there: nothing may follow."""
        self.readings: Readings | None = None
        self.scales: Signal | None = None
        """The scales that a session keeps, then the shifts, which a forecast layer inverts; None without any."""
        self.layers: list[Layer] = []
        self._count = 0
        """The number of layers so far that contain no others."""

    def width(self, signal: Signal) -> int:
        """Return the size of a signal."""
        if signal == INPUT:
            if self.readings is not None:
                return self.readings.layout.encoded_size
            return self.in_size if self.embedding is None else self.embedding.out_size
        return sum(self.layers[number].cell.out_size for number in signal)

    def chain(self, specs: Sequence[LayerSpec], signal: Signal, pointer: str) -> Signal:
        """Append a chain of layers, the first of which reads `signal`; return the signal of the last."""
        for index, spec in enumerate(specs):
            signal = spec.append_to(self, signal, f"{pointer}/{index}")
        return signal

    def next_number(self, pointer: str) -> int:
        """Return the number of the next layer, whose pointer is `pointer`. Raise InvalidInput if there are too many."""
        if self._count == MAX_LAYERS:
            raise InvalidInput("too many layers", pointer=pointer, expected=f"at most {MAX_LAYERS}")
        self._count += 1
        return self._count - 1

    def append(self, layer: Layer) -> Signal:
        """Append a layer and return its signal. Raise InvalidInput after a forecast."""
        if self.forecast is not None:
            raise InvalidInput(
                "a forecast has the outputs of the network", pointer=self.forecast[1], expected="the last layer"
            )
        self.layers.append(layer)
        return (len(self.layers) - 1,)
