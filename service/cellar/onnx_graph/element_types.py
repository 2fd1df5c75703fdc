"""The element types of tensors, and how numbers of each are kept in the float32 record of a session.

float32 is kept as it is. Integers of up to 16 bits, booleans and float16 become the float32 of the same value, which is
exact. Elements of 32 and 64 bits are cut into words of 24 bits, lowest first, each an integer that float32 holds
exactly: 2 words for 32 bits, 3 for 64. All words are finite, so a state can be read and written as JSON.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]

TypeName = Literal[
    "float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"
]

WORD_BITS = 24
"""Each integer below 2^24 is a distinct float32."""
MOST_EXACT = 2**WORD_BITS - 1
"""The largest integer that is surely the one that was sent: 2^24 may be the rounded 2^24 + 1."""


@dataclass(frozen=True, slots=True)
class ElementType:
    """A type of elements. `number` is its number in ONNX."""

    number: int
    dtype: np.dtype[Any]

    @property
    def words(self) -> int:
        """Return how many float32 numbers keep an element."""
        return 1 if self.dtype == np.float32 else (8 * self.dtype.itemsize + WORD_BITS - 1) // WORD_BITS

    @property
    def is_real(self) -> bool:
        """Return whether elements are floating-point numbers."""
        return self.dtype.kind == "f"

    @property
    def limits(self) -> tuple[int, int]:
        """Return the least and the largest integer that an input of this type may be."""
        if self.dtype.kind == "b":
            return 0, 1
        info = np.iinfo(self.dtype)
        return max(int(info.min), -MOST_EXACT), min(int(info.max), MOST_EXACT)


TYPES: dict[TypeName, ElementType] = {
    "float32": ElementType(1, np.dtype(np.float32)),
    "uint8": ElementType(2, np.dtype(np.uint8)),
    "int8": ElementType(3, np.dtype(np.int8)),
    "uint16": ElementType(4, np.dtype(np.uint16)),
    "int16": ElementType(5, np.dtype(np.int16)),
    "int32": ElementType(6, np.dtype(np.int32)),
    "int64": ElementType(7, np.dtype(np.int64)),
    "bool": ElementType(9, np.dtype(np.bool_)),
    "float16": ElementType(10, np.dtype(np.float16)),
    "float64": ElementType(11, np.dtype(np.float64)),
    "uint32": ElementType(12, np.dtype(np.uint32)),
    "uint64": ElementType(13, np.dtype(np.uint64)),
}

NAMES: dict[int, TypeName] = {kind.number: name for name, kind in TYPES.items()}
"""The names by the numbers of ONNX."""


def pack(elements: Array, kind: ElementType) -> Floats:
    """Return elements (rows, n) as float32 words (rows, n * words)."""
    if kind.words == 1:
        return elements.astype(np.float32, copy=False)
    bits = np.ascontiguousarray(elements).view(f"<u{kind.dtype.itemsize}").astype(np.uint64)
    words = [(bits >> np.uint64(WORD_BITS * place)) & np.uint64(MOST_EXACT) for place in range(kind.words)]
    return np.stack(words, axis=-1).astype(np.float32).reshape(len(elements), -1)


def unpack(words: Floats, kind: ElementType) -> Array:
    """Return the elements (rows, n) of words from `pack`."""
    if kind.words == 1:
        return words.astype(kind.dtype, copy=False)
    parts = words.astype(np.uint64).reshape(len(words), -1, kind.words)
    bits = np.zeros(parts.shape[:2], np.uint64)
    for place in range(kind.words):
        bits |= parts[:, :, place] << np.uint64(WORD_BITS * place)
    return bits.astype(f"<u{kind.dtype.itemsize}").view(kind.dtype)


def are_words(words: Floats, kind: ElementType) -> bool:
    """Return whether `pack` can have made these words of finite elements."""
    if kind.dtype == np.float32:
        return True
    if kind.is_real and kind.words == 1:
        with np.errstate(over="ignore"):
            near = words.astype(kind.dtype)
        return bool(np.isfinite(near).all() and (near == words).all())
    low, high = kind.limits if kind.words == 1 else (0, MOST_EXACT)
    if not ((words >= low) & (words <= high) & (words == np.floor(words))).all():
        return False
    top = 8 * kind.dtype.itemsize - WORD_BITS * (kind.words - 1)
    if kind.words > 1 and (words[:, kind.words - 1 :: kind.words] >= 2**top).any():
        return False
    return not kind.is_real or bool(np.isfinite(unpack(words, kind)).all())
