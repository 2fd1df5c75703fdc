"""Sums, norms and clips arrays for training with kernels, so that sums have the engine's fixed order."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cellar.engine import (
    Cell,
    CommandList,
    CompiledCell,
    Floats,
    Forward,
    KernelCache,
    PackedWeights,
    Workspace,
    build_cell,
    compile_cell,
)

SUM = "output = sum(x)"
NORM = "output = sqrt(sum(x * x))"
CLIP = """
param limit: scalar
output = max(min(x, limit), -limit)
"""


def cell(text: str, inputs: Mapping[str, int]) -> Cell:
    """Return a cell whose inputs have these names and sizes; the first is `x`. Small numbers are not flushed."""
    sizes = {"in" if name == "x" else name: size for name, size in inputs.items()}
    return build_cell(text, sizes, inputs=tuple(inputs), flushes=False)


_SQUARES_ARE_EXACT_FROM = 2.0**-40
"""A norm above this is accurate: elements whose squares are subnormal are below 2^-63."""


class Arithmetic:
    """Cells that are used as functions of arrays. It caches a kernel for each text and size."""

    def __init__(self, cache: KernelCache) -> None:
        self._cache = cache
        self._kernels: dict[tuple[str, tuple[int, ...]], CompiledCell] = {}
        self._empty: dict[CompiledCell, PackedWeights] = {}
        """The packed weights of kernels without parameters."""

    def recording(self) -> CommandList:
        """Return an empty recording of kernels and copies."""
        return CommandList(self._cache)

    def kernel(self, text: str, inputs: Mapping[str, int]) -> CompiledCell:
        """Return the kernel of a cell whose inputs have these names and sizes; the first is `x`."""
        key = (text, tuple(inputs.values()))
        if key not in self._kernels:
            self._kernels[key] = compile_cell(cell(text, inputs), self._cache)
        return self._kernels[key]

    def apply(self, text: str, arrays: Mapping[str, Floats], params: Mapping[str, float]) -> Forward:
        """Run a cell without a state on vectors (n,), one for each input, with scalar parameters."""
        kernel = self.kernel(text, {name: array.size for name, array in arrays.items()})
        packed = kernel.pack(constants(params)) if params else self._without_params(kernel)
        return kernel.forward(packed, [array.reshape(1, 1, -1) for array in arrays.values()], _no_state(1))

    def _without_params(self, kernel: CompiledCell) -> PackedWeights:
        if kernel not in self._empty:
            self._empty[kernel] = kernel.pack({})
        return self._empty[kernel]

    def total(self, array: Floats) -> float:
        """Return the sum of all elements."""
        return float(self.apply(SUM, {"x": array}, {}).outputs[0, 0, 0])

    def record_sums(
        self, recording: CommandList, rows: Floats, sums: Floats, workspace: Workspace | None = None
    ) -> None:
        """Record the sums of rows: those of (n, k) are written to (n,), both dense."""
        kernel = self.kernel(SUM, {"x": rows.shape[1]})
        none = _no_state(len(rows))
        packed, out = self._without_params(kernel), sums.reshape(1, -1, 1)
        recording.call(kernel.bound(packed, [rows[None]], none, out, none, workspace=workspace))

    def norm(self, vector: Floats) -> float:
        """Return the Euclidean norm, which may be larger than any float32; infinity or NaN for a vector that has one.

        If squares overflow or lose digits, the vector is scaled by a power of two first.
        """
        norm = float(self.apply(NORM, {"x": vector}, {}).outputs[0, 0, 0])
        if _SQUARES_ARE_EXACT_FROM <= norm < math.inf:
            return norm
        peak = float(np.abs(vector).max(initial=0))  # a maximum does not depend on the order
        if not 0 < peak < math.inf:
            return peak
        exponent = math.frexp(peak)[1]
        scaled = self.apply(NORM, {"x": scaled_by_power(vector, -exponent)}, {})
        return math.ldexp(float(scaled.outputs[0, 0, 0]), exponent)

    def clip(self, vector: Floats, limit: float) -> Floats:
        """Return the vector with every element limited to -limit ... limit; NaN stays NaN."""
        return self.apply(CLIP, {"x": vector}, {"limit": limit}).outputs.reshape(-1)


def sum_bytes(count: int, rows: int = 1) -> int:
    """Return the bytes of scratch memory, at most, with which SUM adds up `count` numbers of each row."""
    return rows * (64 * -(-count // 16) + 64) + 512


def scaled_by_power(vector: Floats, exponent: int) -> Floats:
    """Return a vector times 2^exponent."""
    found: Floats = np.ldexp(vector, exponent)
    return found


def constants(params: Mapping[str, float | Sequence[float]]) -> dict[str, Floats]:
    """Return numbers and vectors as parameters, rounded once to float32."""
    return {name: np.array(value, dtype=np.float32) for name, value in params.items()}


def _no_state(rows: int) -> Floats:
    return np.empty((rows, 0), dtype=np.float32)
