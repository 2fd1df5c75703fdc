"""Weights in the order in which kernels read them, and arrays padded to whole blocks of sixteen floats."""

import ctypes
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine.cell import Cell
from cellar.engine.numerics import FLUSH_BELOW
from cellar.engine.passes.memory_plan import width_bytes
from cellar.engine.passes.schedule import ProductGroup
from cellar.errors import ShapeMismatch

Floats = NDArray[np.float32]

_FLUSH_BELOW = np.float32(FLUSH_BELOW)


@dataclass(frozen=True)
class PackedWeights:
    """The weights of one cell. Immutable for those who share it, but for what is made on first use."""

    weights: dict[str, Floats]
    halves: bool
    """Matrices are stored as bfloat16; `weights` are rounded to it."""
    vectors: Mapping[str, Floats]
    """Vector and scalar parameters, padded."""
    panels: dict[tuple[str, ...], NDArray[Any]] = field(default_factory=dict)
    """Packed matrices by their names, the first word "t" where they are transposed."""
    descriptors: dict[object, NDArray[np.int64]] = field(default_factory=dict)
    """For each kernel its descriptor with what depends on the weights filled in."""
    calls: dict[object, list[Any]] = field(default_factory=dict)
    """For each kernel and shape the calls that wait to be used again."""

    def group(self, stage: ProductGroup) -> NDArray[Any]:
        """Return the panels of a stage's matrices, one after the other."""
        names = tuple(node.sources[0].name for node in stage.nodes)
        key = ("t" if stage.transposed else "n", *names)
        found = self.panels.get(key)
        if found is None:
            made = _panels(self._matrices(key), halves=self.halves)
            found = self.panels.setdefault(key, made)  # of two threads, both take the first: descriptors point to it
        return found

    def adopt(self, weights: Mapping[str, Floats]) -> None:
        """Read the weights from these arrays from now on: flushed, of the same shapes, and the same numbers."""
        self.weights.update(weights)

    def placed(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield of each weight a view, and where kernels read those numbers; not of weights that are halves.

        Whoever changes weights that were adopted copies them there, while nobody runs.
        """
        for name, vector in self.vectors.items():
            array = self.weights[name]
            yield array, vector[: array.size if array.ndim else None]
        for key, panels in self.panels.items():
            yield from _placed(self._matrices(key), panels)

    def _matrices(self, key: tuple[str, ...]) -> list[Floats]:
        order, *names = key
        return [self.weights[name].T if order == "t" else self.weights[name] for name in names]


def flushed(array: Floats) -> Floats:
    """Return +0 in the place of magnitudes below 2^-63."""
    return np.where(np.abs(array) < _FLUSH_BELOW, np.float32(0), array)


def pack(cell: Cell, weights: Mapping[str, Floats], *, halves: bool = False) -> PackedWeights:
    """Return the weights packed, flushed below 2^-63 if the cell does so; with `halves` matrices become bfloat16.

    Raise ShapeMismatch for a parameter that is missing or has another shape.
    """
    clean: dict[str, Floats] = {}
    for param in cell.params:
        given = weights.get(param.name)
        if given is None or given.shape != param.shape:
            actual = "nothing" if given is None else str(given.shape)
            raise ShapeMismatch(f"parameter {param.name}", expected=str(param.shape), actual=actual)
        array = np.asarray(given, np.float32)
        array = flushed(array) if cell.flushes else array
        clean[param.name] = rounded(array) if halves and array.ndim == 2 else array
    return PackedWeights(clean, halves, {name: padded(value) for name, value in clean.items() if value.ndim < 2})


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


def _panels(matrices: Sequence[Floats], *, halves: bool) -> NDArray[Any]:
    """Return (m, n) matrices as k-major panels of sixteen of all their rows, as float32 or bfloat16: see `tile`."""
    length = matrices[0].shape[1]
    count = (sum(matrix.shape[0] for matrix in matrices) + 15) // 16
    packed = aligned(64 * length * count, clear=True).view(np.float32).reshape(-1, length, 16)
    for source, target in _placed(matrices, packed):
        target[:] = source
    if not halves:
        return packed
    return in_pairs(packed)


def in_pairs(panels: Floats) -> NDArray[np.uint16]:
    """Return the upper halves of k-major panels (P, K, 16): (P, ceil(K / 2), 16, 2), two terms of a column together."""
    count, length, _ = panels.shape
    pairs = (length + 1) // 2
    kept = aligned(64 * count * pairs, clear=True).view(np.uint16).reshape(count, pairs, 16, 2)
    upper = panels.view(np.uint16)[..., 1::2]
    kept[..., 0] = upper[:, ::2]
    kept[:, : length // 2, :, 1] = upper[:, 1::2]
    return kept


def _placed(matrices: Sequence[Floats], panels: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yield views of matrices and of the panels that hold them, one behind the other.

    Of each there are at most three: its rows in the panel where the one before ends, whole panels, and rows left over.
    """
    begin = 0
    for matrix in matrices:
        rows, length = matrix.shape
        lane = begin % 16
        first = min(-begin % 16, rows)
        whole = (rows - first) // 16
        last = first + 16 * whole
        at = (begin + first) // 16
        if first:
            yield matrix[:first].T, panels[begin // 16, :, lane : lane + first]
        yield matrix[first:last].reshape(whole, 16, length).transpose(0, 2, 1), panels[at : at + whole]
        if rows > last:
            yield matrix[last:].T, panels[at + whole, :, : rows - last]
        begin += rows
