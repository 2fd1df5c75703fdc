"""Stores all weights of a network in one vector, as optimisers need them."""

import math
from collections.abc import Mapping

import numpy as np

from cellar.engine import CommandList, Floats
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network


def joined(network: Network, weights: Mapping[str, Floats]) -> Floats:
    """Return weights as a vector, in the order of the network's parameters."""
    return np.concatenate([weights[name].reshape(-1) for name, _ in network.parameters])


def named(network: Network, vector: Floats) -> dict[str, Floats]:
    """Return views of a vector of all weights."""
    found, at = {}, 0
    for name, shape in network.parameters:
        size = math.prod(shape)
        found[name] = vector[at : at + size].reshape(shape)
        at += size
    return found


class Trainee:
    """A network whose weights change: they are in one vector, and are packed for the kernels after each change."""

    def __init__(self, compiled: CompiledNetwork) -> None:
        self._compiled = compiled
        self._vector: Floats = np.zeros(compiled.network.parameter_count, np.float32)
        self._weights = named(compiled.network, self._vector)
        self.network = BoundNetwork(compiled, self._weights)
        """The network with the weights that were loaded last. It must not be run while others are loaded."""
        self.network.adopt(self._weights)
        self._packing: CommandList | None = None
        self._places = 0

    def load(self, vector: Floats) -> BoundNetwork:
        """Return the network with these weights until the next call. They must fit and be finite."""
        np.copyto(self._vector, vector)
        if self._packing is None or self._places != self.network.places:
            self._packing = self._compiled.arithmetic.recording()
            self._places = self.network.places
            self._packing.flush(self._vector)
            for source, target in self.network.placed(self._weights):
                self._packing.copy(source, target)
        self._packing.run()
        return self.network
