"""A kernel of the tests' own: every function that kernels are written with, over plain arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.engine.codegen.kernel_source import ENTRY, IMPORTS

Floats = NDArray[np.float32]

CALLS = {
    "add": "add(a, b)",
    "sub": "sub(a, b)",
    "mul": "mul(a, b)",
    "div": "div(a, b)",
    "min": "minimum(a, b)",
    "max": "maximum(a, b)",
    "select": "select(a, b, neg(a), b)",
    "fma": "fma(a, b, a)",
    "neg": "neg(a)",
    "abs": "absolute(a)",
    "sqrt": "sqrt(a)",
    "relu": "relu(a)",
    "flush": "flush(a)",
    "exp": "exp(a)",
    "log": "log(a)",
    "tanh": "tanh(a)",
    "sigmoid": "sigmoid(a)",
    "softplus": "softplus(a)",
    "sum_lanes": "sum_lanes(a)",
    "max_lanes": "max_lanes(a)",
}

_HEAD = f"""{IMPORTS}
@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')
def {ENTRY}(d):
    for j in range(0, 64 * read_int(d), 64):
        a = load(read_int(d + 8) + j)
        b = load(read_int(d + 16) + j)
"""


@dataclass(frozen=True)
class Probe:
    """Applies functions to pairs of float32, sixteen at a time."""

    cache: KernelCache

    def __call__(self, a: Floats, b: Floats | None = None) -> dict[str, Floats]:
        """Return the results of every call, shaped as `a`, whose size must be a multiple of sixteen."""
        a = np.ascontiguousarray(a)
        b = np.zeros_like(a) if b is None else np.ascontiguousarray(b)
        assert a.size % 16 == 0
        results = {name: np.empty_like(a) for name in CALLS}
        addresses = [array.ctypes.data for array in (a, b, *results.values())]
        descriptor = np.array([a.size // 16, *addresses], np.int64)
        assert self.cache.load([self.text()])[0](descriptor.ctypes.data) == 0
        return results

    @staticmethod
    def text() -> str:
        """Return the kernel's text."""
        stores = (f"        store(read_int(d + {24 + 8 * i}) + j, {call})" for i, call in enumerate(CALLS.values()))
        return _HEAD + "\n".join([*stores, "    return 0", ""])
