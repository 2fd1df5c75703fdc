"""Measures the register tile alone: the product of a batch of states with the recurrent weights of an LSTM."""

import ctypes
from pathlib import Path

import numpy as np

from benchmarks.timing import best_rate
from cellar.engine import KernelCache, Target
from cellar.engine.execution.arrays import address, aligned

HIDDEN, OUTPUTS = 256, 4 * 256

ROWS = (16, 64)


def tile_flops(directory: Path | None, target: Target, rows: int) -> float:
    """Return the floating-point operations a second of (rows, 256) times (256, 1024), compiled for a target."""
    code = KernelCache(directory, target=target).products().float32
    product = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 11)(code.address)
    random = np.random.default_rng(0)
    arrays = [aligned(4 * size).view(np.float32) for size in (rows * HIDDEN, HIDDEN * OUTPUTS, rows * OUTPUTS)]
    for array in arrays:
        array[:] = random.standard_normal(array.size, np.float32)
    a, w, out = map(address, arrays)
    call = (a, 4 * HIDDEN, 4, w, out, 4 * OUTPUTS, HIDDEN, OUTPUTS // 16, rows, 0, 0)
    return best_rate(2 * rows * HIDDEN * OUTPUTS, lambda loops: [product(*call) for _ in range(loops)])
