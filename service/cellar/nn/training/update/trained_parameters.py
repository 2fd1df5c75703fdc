"""Determines which parameters of a network are trained, and which are frozen."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.nn.model.network import Network
from cellar.nn.training.spec import TrainingSpec

_NAMED = 8
"""The most parameters that an error lists."""


class TrainedParameters:
    """The parameters that a run trains, as a part of the vector of all weights.

    Raise InvalidInput with a pointer below /freeze for names that the network does not have, and if all are frozen.
    """

    def __init__(self, network: Network, spec: TrainingSpec) -> None:
        names = [name for name, _ in network.parameters]
        self.frozen = frozenset(_frozen(network, spec, names))
        """The names of the parameters that stay as they are, bit by bit."""
        if len(self.frozen) == len(names):
            raise InvalidInput("all parameters are frozen, so there is nothing to train", pointer="/freeze")
        self._parts = tuple(_parts(network, self.frozen))
        self.count = sum(part.stop - part.start for part in self._parts)
        """The number of trained weights."""
        self._all = self.count == network.parameter_count
        self.groups = _groups(network, self.frozen, _factors(spec, names))
        """The numbers of consecutive trained weights, and the factors of their learning rate."""

    def of(self, vector: Floats) -> Floats:
        """Return the trained part (count,) of a vector of all weights; a view if nothing is frozen."""
        return vector if self._all else np.concatenate([vector[part] for part in self._parts])

    def replaced(self, vector: Floats, trained: Floats) -> Floats:
        """Return a vector of all weights with another trained part."""
        if self._all:
            return trained
        found, at = vector.copy(), 0
        for part in self._parts:
            found[part] = trained[at : at + part.stop - part.start]
            at += part.stop - part.start
        return found


def _frozen(network: Network, spec: TrainingSpec, names: list[str]) -> Iterator[str]:
    """Yield the names of the frozen parameters: of layers that are frozen by their kind, and of `freeze`."""
    for layer in network.layers:
        if layer.frozen:
            yield from (f"{layer.name}.{name}" for name in layer.shapes)
    for index, entry in enumerate(spec.freeze):
        found = [name for name in names if f"{name}.".startswith(f"{entry}.")]
        if not found:
            more = ", ..." if len(names) > _NAMED else ""
            raise InvalidInput(
                f"the model has no parameter {entry}, and no layer {entry} with parameters",
                pointer=f"/freeze/{index}",
                expected=f"the number of a layer or the name of a parameter: {', '.join(names[:_NAMED])}{more}",
                actual=str(entry),
            )
        yield from found


def _factors(spec: TrainingSpec, names: list[str]) -> dict[str, float]:
    """Return the factor of the learning rate of each parameter that has one; the longest name in the request counts."""
    found = dict[str, float]()
    for entry in sorted(spec.learning_rates or {}, key=lambda each: each.count(".")):
        chosen = [name for name in names if f"{name}.".startswith(f"{entry}.")]
        if not chosen:
            raise InvalidInput(
                f"the model has no parameter {entry}, and no layer {entry} with parameters",
                pointer=f"/learning_rates/{entry}",
                expected=f"the number of a layer or the name of a parameter: {', '.join(names[:_NAMED])}",
            )
        found |= dict.fromkeys(chosen, (spec.learning_rates or {})[entry])
    return found


def _groups(network: Network, frozen: frozenset[str], factors: Mapping[str, float]) -> list[tuple[int, float]]:
    """Return the numbers of consecutive trained weights with the same factor, and this factor."""
    found = list[tuple[int, float]]()
    for name, shape in network.parameters:
        if name not in frozen:
            count, factor = math.prod(shape), factors.get(name, 1.0)
            before = found.pop() if found and found[-1][1] == factor else (0, factor)
            found.append((before[0] + count, factor))
    return found


def _parts(network: Network, frozen: frozenset[str]) -> Iterator[slice]:
    """Yield the places of the trained parameters in the vector of all weights; neighbours are one slice."""
    begin, at = 0, 0
    for name, shape in network.parameters:
        end = at + math.prod(shape)
        if name in frozen:
            if at > begin:
                yield slice(begin, at)
            begin = end
        at = end
    if at > begin:
        yield slice(begin, at)
