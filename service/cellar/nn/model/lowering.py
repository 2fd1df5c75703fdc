"""Specifications of layers, which nest, as a flat tuple of layers in execution order that read each other's signals.

A bidirectional layer becomes two layers, one of which reads in reverse, and is the signal of both; a residual layer
ends in one that adds two signals. Layers of the specification that are no composite are numbered depth first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cellar.engine import INPUT, Cell, Signal
from cellar.errors import InvalidInput
from cellar.nn.model.embedding import Embedding
from cellar.nn.model.layer import Layer
from cellar.nn.spec.base import Frozen

MAX_LAYERS = 64
"""Layers that are no composite: those inside residual and bidirectional ones count."""


class LayerSpec(Frozen):
    """The base of all kinds of layers. The docstring of each is its line in the docs and in the JSON schema."""

    type: str

    def build(self, in_size: int, pointer: str) -> Layer:
        """Return the layer, as if alone. Raise InvalidInput with a pointer below `pointer`."""
        raise NotImplementedError

    def append_to(self, network: "NetworkBuilder", signal: Signal, pointer: str) -> Signal:
        """Append what reads `signal`, and return the signal that it ends in. Raise as `build`.

        A kind that is one layer only has to `build` it.
        """
        number = network.next_number(pointer)
        layer = self.build(network.width(signal), pointer)
        return network.append(replace(layer, name=str(number), number=number, reads=(signal,)))

    @classmethod
    def cells(cls, size: int) -> Iterator[Cell]:
        """Yield cells of that size that have all kernels of this kind, which are compiled when an image is built."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Flat:
    """The layers of a network."""

    embedding: Embedding | None
    """What the network's input goes through before any layer reads it."""
    layers: tuple[Layer, ...]
    output: Signal
    out_size: int


def flatten(specs: Sequence[LayerSpec], in_size: int, pointer: str) -> Flat:
    """Return the layers of a network. Raise InvalidInput with a pointer below `pointer`, that of the network."""
    network = NetworkBuilder(in_size, pointer)
    output = network.chain(specs, INPUT, f"{pointer}/layers")
    layers = tuple(network.layers)
    if served(layers, output) == INPUT:
        raise InvalidInput(
            "the network computes nothing",
            pointer=f"{pointer}/layers",
            expected="a layer besides embedding and dropout",
        )
    return Flat(network.embedding, layers, output, network.width(output))


def served(layers: Sequence[Layer], signal: Signal) -> Signal:
    """Return what a signal is outside of training, where dropout does not exist."""
    while len(signal) == 1 and signal != INPUT and layers[signal[0]].dropout is not None:
        (signal,) = layers[signal[0]].reads
    return signal


class NetworkBuilder:
    """The layers of a network while they are appended."""

    def __init__(self, in_size: int, pointer: str) -> None:
        self.in_size = in_size
        self.pointer = pointer
        self.embedding: Embedding | None = None
        self.layers: list[Layer] = []
        self._count = 0
        """Layers of the specification so far that are no composite."""

    def width(self, signal: Signal) -> int:
        """Return how many numbers a signal has."""
        if signal == INPUT:
            return self.in_size if self.embedding is None else self.embedding.out_size
        return sum(self.layers[number].cell.out_size for number in signal)

    def chain(self, specs: Sequence[LayerSpec], signal: Signal, pointer: str) -> Signal:
        """Append layers that read each other, the first one `signal`; return the signal of the last."""
        for index, spec in enumerate(specs):
            signal = spec.append_to(self, signal, f"{pointer}/{index}")
        return signal

    def next_number(self, pointer: str) -> int:
        """Return the number of the layer at that pointer. Raise InvalidInput if there are too many."""
        if self._count == MAX_LAYERS:
            raise InvalidInput("too many layers", pointer=pointer, expected=f"at most {MAX_LAYERS}")
        self._count += 1
        return self._count - 1

    def append(self, layer: Layer) -> Signal:
        """Append a layer and return its signal."""
        self.layers.append(layer)
        return (len(self.layers) - 1,)
