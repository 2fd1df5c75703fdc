"""Packs the weights of a small network at once: one index from a flat file of weights to all packed arrays.

To pack each matrix and vector by itself takes longer than all other work for a model whose network is known.
"""

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats, NetworkProgram, aligned, flushed
from cellar.nn.execution.executable import BOUND_BYTES, BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network

MOST_PARAMETERS = 64 * 1024
"""The most parameters of a network whose index is kept: it takes as much memory as the weights of one model."""

_BLOCK = 16
"""Floats of 64 bytes, at multiples of which every array begins."""


class Packing:
    """The places of all weights of a network in the memory of a model, found by packing their numbers."""

    def __init__(self, compiled: CompiledNetwork) -> None:
        network = compiled.network
        template = compiled.bind(_numbered(network), inference=True)
        packed = [
            array
            for part in template.parts
            for array in (*part.packed.vectors.values(), *part.packed.panels.values(), part.initial)
        ]
        begins = np.cumsum([0, *(_blocks(array) for array in packed)])
        self._index: NDArray[np.int32] = np.zeros(begins[-1], np.int32)
        self._kept: NDArray[np.bool_] = np.zeros(begins[-1], np.bool_)
        """Initial states, in which nothing is flushed."""
        initials = {id(part.initial) for part in template.parts}
        for array, begin in zip(packed, begins, strict=False):
            self._index[begin : begin + array.size] = array.reshape(-1)
            self._kept[begin : begin + array.size] = id(array) in initials
        offset_of = {array.ctypes.data: 4 * int(begin) for array, begin in zip(packed, begins, strict=False)}
        words = template.program.words
        self._is_offset = np.array([int(word) in offset_of for word in words], np.int64)
        self._words = np.array([offset_of.get(int(word), int(word)) for word in words], np.int64)
        self._initial = template.initial.astype(np.int32)

    @staticmethod
    def fits(network: Network) -> bool:
        """Return whether a network can be packed at once: a small one in float32, without an embedding."""
        plain = network.embedding is None and network.spec.weight_storage == "float32"
        flushes = all(layer.cell.flushes for layer in network.layers)
        return plain and flushes and network.parameter_count <= MOST_PARAMETERS

    @property
    def size_bytes(self) -> int:
        """The memory of the index."""
        return self._index.nbytes + self._kept.nbytes

    def bind(self, compiled: CompiledNetwork, flat: Floats) -> BoundNetwork:
        """Return the network with finite weights (n,), those of its parameters one after the other by name."""
        numbers = np.empty(flat.size + 1, np.float32)
        numbers[0], numbers[1:] = 0, flat
        memory: Floats = aligned(4 * self._index.size).view(np.float32)
        np.take(flushed(numbers), self._index, out=memory, mode="clip")
        if self._initial.any():
            np.copyto(memory, numbers[self._index], where=self._kept)
        return _PackedNetwork(
            compiled, memory, self._words + self._is_offset * memory.ctypes.data, numbers[self._initial]
        )


class _PackedNetwork(BoundNetwork):
    """A network whose packed weights are one block of memory."""

    def __init__(self, compiled: CompiledNetwork, memory: Floats, words: NDArray[np.int64], initial: Floats) -> None:
        self.network = compiled.network
        self._compiled = compiled
        self.bfloat16 = False
        self.inference = True
        self.parts = ()
        self._table = None
        self._memory = memory
        self.initial = initial
        self.program = NetworkProgram.of_words(compiled.code, words, memory)

    @property
    def size_bytes(self) -> int:
        """The memory of the weights as they are kept, and of the objects that hold them."""
        return BOUND_BYTES + self._memory.nbytes + self.initial.nbytes


def _numbered(network: Network) -> dict[str, Floats]:
    """Return weights that are their own numbers, from 1, in the order of their names. Float32 holds each exactly."""
    found, count = {}, 1
    for name, shape in sorted(network.parameters):
        size = int(np.prod(shape))
        found[name] = np.arange(count, count + size, dtype=np.float32).reshape(shape)
        count += size
    return found


def _blocks(array: Floats) -> int:
    """Return the floats of an array, in whole blocks."""
    return -(-array.size // _BLOCK) * _BLOCK
