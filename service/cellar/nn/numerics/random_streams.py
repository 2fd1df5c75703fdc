"""Named streams of random numbers, which are the same on every machine and with every version of NumPy.

NumPy guarantees the raw stream of a bit generator, but not the results of `Generator`, so everything is computed
from the raw stream of Philox, a counter-based generator.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.random import Philox
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

_BLOCK = 4
"""Words that Philox generates for one value of its counter."""


class _Key(ISeedSequence):
    """The two words of a key, as a seed sequence. A generator with `key=` would also read entropy from the system."""

    def __init__(self, *words: int) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> NDArray[Any]:
        """Return the words: Philox requests two of 64 bits."""
        return np.array(self._words[:n_words], dtype)


def _raw(seed: int, stream: str, count: int, first: int = 0) -> NDArray[np.uint64]:
    """Return `count` 64-bit words of the stream of that name, from index `first` on."""
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")
    key = _Key(seed % 2**64, name)
    generator = Philox(key).advance(first // _BLOCK)  # type: ignore[arg-type]  # any ISeedSequence will do
    words: NDArray[np.uint64] = generator.random_raw(first % _BLOCK + count)[first % _BLOCK :]
    return words


def uniforms(seed: int, stream: str, count: int, first: int = 0) -> NDArray[np.float64]:
    """Return `count` numbers in [0, 1), multiples of 2**-53, of a stream from index `first` on.

    Streams with different names are independent.
    """
    return (_raw(seed, stream, count, first) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, stream: str, count: int) -> NDArray[np.int64]:
    """Return the numbers 0 to count - 1 in a random order."""
    return np.argsort(_raw(seed, stream, count), kind="stable")
