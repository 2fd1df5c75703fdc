"""A specification, which nests, as a flat tuple of layers in execution order that read each other's signals.

A bidirectional layer becomes two layers, one of which reads in reverse, and is the signal of both; a residual layer
ends in one that adds two signals. Layers of the specification that are no composite are numbered depth first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cellar.errors import InvalidInput
from cellar.nn.model.embedding import Embedding, build_embedding
from cellar.nn.model.layers import INPUT, Layer, Signal, build_layer, build_sum
from cellar.nn.spec.network import (
    MAX_LAYERS,
    BidirectionalSpec,
    EmbeddingSpec,
    LayerSpec,
    NetworkSpec,
    ResidualSpec,
    ReverseSpec,
)


@dataclass(frozen=True, slots=True)
class Flat:
    """The layers of a network."""

    embedding: Embedding | None
    """What the network's input goes through before any layer reads it."""
    layers: tuple[Layer, ...]
    output: Signal
    out_size: int


def flatten(spec: NetworkSpec, pointer: str) -> Flat:
    """Return the layers of a specification. Raise InvalidInput with a pointer below `pointer`."""
    flattener = _Flattener(spec, pointer)
    output = flattener.chain(spec.layers, INPUT, f"{pointer}/layers")
    layers = tuple(flattener.layers)
    if served(layers, output) == INPUT:
        raise InvalidInput(
            "the network computes nothing",
            pointer=f"{pointer}/layers",
            expected="a layer besides embedding and dropout",
        )
    return Flat(flattener.embedding, layers, output, flattener.width(output))


def served(layers: Sequence[Layer], signal: Signal) -> Signal:
    """Return what a signal is outside of training, where dropout does not exist."""
    while len(signal) == 1 and signal != INPUT and layers[signal[0]].dropout is not None:
        (signal,) = layers[signal[0]].reads
    return signal


class _Flattener:
    """Appends layers; every method returns the signal in which what it has appended ends."""

    def __init__(self, spec: NetworkSpec, pointer: str) -> None:
        self.spec = spec
        self.pointer = pointer
        self.embedding: Embedding | None = None
        self.layers: list[Layer] = []
        self.count = 0
        """Layers of the specification so far that are no composite."""

    def width(self, signal: Signal) -> int:
        """Return how many numbers a signal has."""
        if signal == INPUT:
            return self.spec.in_size if self.embedding is None else self.embedding.out_size
        return sum(self.layers[number].cell.out_size for number in signal)

    def chain(self, specs: Sequence[LayerSpec], signal: Signal, pointer: str) -> Signal:
        """Append layers that read each other, the first one `signal`."""
        for index, spec in enumerate(specs):
            signal = self.add(spec, signal, f"{pointer}/{index}")
        return signal

    def add(self, spec: LayerSpec, signal: Signal, pointer: str) -> Signal:
        """Append a layer that reads `signal`."""
        if isinstance(spec, ResidualSpec):
            return self.add_residual(spec, signal, pointer)
        number, self.count = self.count, self.count + 1
        if self.count > MAX_LAYERS:
            raise InvalidInput("too many layers", pointer=pointer, expected=f"at most {MAX_LAYERS}")
        match spec:
            case EmbeddingSpec():
                return self.add_embedding(spec, pointer, first=spec is self.spec.layers[0])
            case BidirectionalSpec(layer=inner, reverse_layer=other):
                layer = last = build_layer(inner, self.width(signal), f"{pointer}/layer")
                if other is not None:
                    last = build_layer(other, self.width(signal), f"{pointer}/reverse_layer")
                forward = replace(layer, name=f"{number}.forward", number=number, reads=(signal,))
                reverse = replace(last, name=f"{number}.reverse", number=number, reads=(signal,), reverse=True)
                return self.append(forward) + self.append(reverse)
            case ReverseSpec(layer=inner):
                layer = build_layer(inner, self.width(signal), f"{pointer}/layer")
                return self.append(replace(layer, name=str(number), number=number, reads=(signal,), reverse=True))
            case _:
                layer = build_layer(spec, self.width(signal), pointer)
                return self.append(replace(layer, name=str(number), number=number, reads=(signal,)))

    def append(self, layer: Layer) -> Signal:
        """Append a layer."""
        self.layers.append(layer)
        return (len(self.layers) - 1,)

    def add_residual(self, spec: ResidualSpec, signal: Signal, pointer: str) -> Signal:
        """Append layers and the sum of what they read and answer."""
        end = self.chain(spec.layers, signal, f"{pointer}/layers")
        size, found = self.width(signal), self.width(end)
        if size != found:
            raise InvalidInput(
                "the layers of a residual one must answer as many numbers as they read",
                pointer=f"{pointer}/layers",
                expected=str(size),
                actual=str(found),
            )
        return self.append(replace(build_sum(size, pointer), reads=(signal, end)))

    def add_embedding(self, spec: EmbeddingSpec, pointer: str, *, first: bool) -> Signal:
        """Put a table in front of all layers."""
        if not first:
            raise InvalidInput("an embedding reads the network's input", pointer=pointer, expected="the first layer")
        if self.spec.in_size != 1:
            raise InvalidInput(
                "an embedding reads one id at each step",
                pointer=f"{self.pointer}/in_size",
                expected="1",
                actual=str(self.spec.in_size),
            )
        self.embedding = build_embedding(spec, pointer)
        return INPUT
