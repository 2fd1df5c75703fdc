"""Prepares arrays for kernels: addresses, alignment, padding to whole vectors, and rounding to bfloat16."""

import ctypes
import math

import numpy as np
from numpy.typing import NDArray

from cellar.engine.numerics import FLUSH_BELOW
from cellar.engine.passes.memory_plan import width_bytes

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Words = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_FLUSH_BELOW = np.float32(FLUSH_BELOW)


def flushed(array: Floats) -> Floats:
    """Return +0 in the place of magnitudes below 2^-63."""
    return np.where(np.abs(array) < _FLUSH_BELOW, np.float32(0), array)


def aligned(length: int, *, clear: bool = False) -> NDArray[np.uint8]:
    """Return bytes that begin at a multiple of 64, so that no vector straddles two cache lines."""
    raw = (np.zeros if clear else np.empty)(length + 64, np.uint8)
    start = -address(raw) % 64
    return raw[start : start + length]


_DATA = object.__basicsize__
"""Where in an array's object its address stands: NumPy's ABI puts it behind CPython's head."""


def address(array: NDArray[np.generic]) -> int:
    """Return where an array begins; ten times as fast as `array.ctypes.data`."""
    return _word_at(id(array) + _DATA).value


_word_at = ctypes.c_int64.from_address


def padded_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of whole blocks that holds an array; a scalar has a block of its own."""
    return (*shape[:-1], width_bytes(shape[-1]) // 4) if shape else (16,)


def padded(array: Floats) -> Floats:
    """Return (m, n) or (n,) with n padded to whole blocks by zeros; a scalar as one block of copies."""
    shape = padded_shape(array.shape)
    wide = aligned(4 * math.prod(shape), clear=True).view(np.float32).reshape(shape)
    wide[..., : array.shape[-1] if array.ndim else None] = array
    return wide


def rounded(array: Floats) -> Floats:
    """Return finite floats rounded to the nearest bfloat16, to the even one of two; the largest stay finite."""
    bits = array.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    upper = (bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
    overflown = (upper & np.uint32(0x7FFFFFFF)) >= np.uint32(0x7F800000)
    return np.where(overflown, bits & np.uint32(0xFFFF0000), upper).astype(np.uint32).view(np.float32)
