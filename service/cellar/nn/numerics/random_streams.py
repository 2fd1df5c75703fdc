"""Random numbers as plain arithmetic on a counter-based generator: the same on every machine and NumPy version.

NumPy promises the raw stream of a bit generator, and not what `Generator` makes of it; so everything here is made
from the raw stream.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.random import Philox
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

_BLOCK = 4
"""Words that Philox makes of one count."""


class _Key(ISeedSequence):
    """The two words of a key. A generator that is given them as its key asks the system for chance too, in vain."""

    def __init__(self, *words: int) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> NDArray[Any]:
        """Return the words: Philox asks for two of 64 bits."""
        return np.array(self._words[:n_words], dtype)


def _raw(seed: int, stream: str, count: int, first: int = 0) -> NDArray[np.uint64]:
    """Return `count` 64-bit words of the stream of that name, from the number `first` on."""
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")
    key = _Key(seed % 2**64, name)
    generator = Philox(key).advance(first // _BLOCK)  # type: ignore[arg-type]  # any ISeedSequence will do
    words: NDArray[np.uint64] = generator.random_raw(first % _BLOCK + count)[first % _BLOCK :]
    return words


def uniforms(seed: int, stream: str, count: int, first: int = 0) -> NDArray[np.float64]:
    """Return numbers from [0, 1), multiples of 2**-53, `count` of a stream from the number `first` on.

    Streams of other names are independent.
    """
    return (_raw(seed, stream, count, first) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, stream: str, count: int) -> NDArray[np.int64]:
    """Return the numbers 0 to count - 1 in a random order."""
    return np.argsort(_raw(seed, stream, count), kind="stable")
