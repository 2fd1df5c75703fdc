"""Packs the weights of a cell in the order in which kernels read them: matrices as panels, vectors padded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine.cell import Cell
from cellar.engine.execution.arrays import Floats, aligned, flushed, padded, rounded
from cellar.engine.passes.schedule import ProductGroup
from cellar.errors import ShapeMismatch
from cellar.memory.file_mapping import release_pages


@dataclass(frozen=True)
class PackedWeights:
    """The packed weights of one cell. Threads may share it; panels and descriptors are made on first use."""

    weights: dict[str, Floats]
    """By name. Those that were given as read-only arrays may be these arrays."""
    flushes: bool
    """Numbers below 2^-63 become +0 in the panels; in matrices that are adopted they must have become so before."""
    bfloat16: bool
    """Matrices are stored as bfloat16, in the panels alone: `release_matrices`."""
    vectors: Mapping[str, Floats]
    """Vector and scalar parameters, padded."""
    panels: dict[tuple[str, ...], NDArray[Any]] = field(default_factory=dict)
    """Packed matrices by their names, the first word "t" where they are transposed."""
    descriptors: dict[object, NDArray[np.int64]] = field(default_factory=dict)
    """For each kernel its descriptor with sizes and addresses of weights filled in."""

    @property
    def size_bytes(self) -> int:
        """The memory of its arrays."""
        held = *self.weights.values(), *self.vectors.values(), *self.panels.values()
        return sum([array.nbytes for array in held])

    def group(self, stage: ProductGroup) -> NDArray[Any]:
        """Return the panels of a stage's matrices, one after the other."""
        names = tuple(node.sources[0].name for node in stage.nodes)
        key = ("t" if stage.transposed else "n", *names)
        found = self.panels.get(key)
        if found is None:
            made = _panels(self._matrices(key), flushes=self.flushes, bfloat16=self.bfloat16)
            found = self.panels.setdefault(key, made)  # of two threads, both take the first: descriptors point to it
        return found

    def release_matrices(self) -> None:
        """Forget the matrices besides the panels, which must all have been made."""
        for name in [name for name, array in self.weights.items() if array.ndim == 2]:
            del self.weights[name]

    def adopt(self, weights: Mapping[str, Floats]) -> None:
        """Read the weights from these arrays from now on: flushed, of the same shapes, and the same numbers."""
        self.weights.update(weights)

    def placed(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield pairs of views: of a weight, and of the place where kernels read it. Not for bfloat16 weights.

        After a change of adopted weights they must be copied there, while no kernel runs.
        """
        for name, vector in self.vectors.items():
            array = self.weights[name]
            yield array, vector[: array.size if array.ndim else None]
        for key, panels in self.panels.items():
            yield from _placed(self._matrices(key), panels)

    def _matrices(self, key: tuple[str, ...]) -> list[Floats]:
        order, *names = key
        return [self.weights[name].T if order == "t" else self.weights[name] for name in names]


def pack(cell: Cell, weights: Mapping[str, Floats], *, bfloat16: bool = False) -> PackedWeights:
    """Return the weights packed, flushed below 2^-63 if the cell does so; with `bfloat16` matrices become bfloat16.

    Raise ShapeMismatch for a parameter that is missing or has another shape.
    """
    clean: dict[str, Floats] = {}
    for param in cell.params:
        given = weights.get(param.name)
        if given is None or given.shape != param.shape:
            actual = "nothing" if given is None else str(given.shape)
            raise ShapeMismatch(f"parameter {param.name}", expected=str(param.shape), actual=actual)
        array = np.asarray(given, np.float32)
        if array.ndim < 2:
            array = (flushed(array) if cell.flushes else array).copy()  # a small part would keep a whole file
        clean[param.name] = array
    vectors = {name: padded(value) for name, value in clean.items() if value.ndim < 2}
    return PackedWeights(clean, cell.flushes, bfloat16, vectors)


def _panels(matrices: Sequence[Floats], *, flushes: bool, bfloat16: bool) -> NDArray[Any]:
    """Return (m, n) matrices as k-major panels of sixteen of all their rows, as float32 or bfloat16: see `tile`.

    Some panels are made at a time, so that no second copy of the matrices is in memory.
    """
    length = matrices[0].shape[1]
    count = (sum(matrix.shape[0] for matrix in matrices) + 15) // 16
    shape = (count, (length + 1) // 2, 16, 2) if bfloat16 else (count, length, 16)
    packed = aligned(64 * count * shape[1], clear=True).view(np.uint16 if bfloat16 else np.float32).reshape(shape)
    together = max(1, _TOGETHER_BYTES // (64 * length))
    for begin in range(0, count, together):
        some = np.zeros((min(together, count - begin), length, 16), np.float32)
        for source, target in _placed(_rows(matrices, 16 * begin, 16 * (begin + together)), some):
            target[:] = source
        for matrix in matrices:
            release_pages(matrix)
        some = flushed(some) if flushes else some
        packed[begin : begin + together] = in_pairs(rounded(some)) if bfloat16 else some
    return packed


_TOGETHER_BYTES = 128 * 1024
"""Of the panels that are made at a time, which fit into the second-level cache with their temporary arrays."""


def _rows(matrices: Sequence[Floats], begin: int, end: int) -> list[Floats]:
    """Return the rows from `begin` to `end` of matrices that stand one below the other."""
    found, first = [], 0
    for matrix in matrices:
        last = first + len(matrix)
        if begin < last and first < end:
            found.append(matrix[max(begin - first, 0) : end - first])
        first = last
    return found


def in_pairs(panels: Floats) -> NDArray[np.uint16]:
    """Return the upper halves of k-major panels (P, K, 16): (P, ceil(K / 2), 16, 2), two terms of a column together."""
    count, length, _ = panels.shape
    pairs = (length + 1) // 2
    kept = np.zeros((count, pairs, 16, 2), np.uint16)
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
