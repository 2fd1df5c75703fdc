"""A kernel of the tests' own: every function that kernels are written with, over plain arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.engine.codegen.kernel_source import IMPORTS, KERNEL_ENTRY
from cellar.engine.ir.ops import OPS

Floats = NDArray[np.float32]

_OPERANDS = ("a", "b", "neg(a)", "b")

CALLS = {
    **{op.name: f"{op.kernel}({', '.join(_OPERANDS[: op.arity])})" for op in OPS if op.kind == "map" and op.kernel},
    "fma": "fma(a, b, a)",
    "flush": "flush(a)",
    "sum_lanes": "sum_lanes(a)",
    "max_lanes": "max_lanes(a)",
}
"""The kernel function of every elementwise operation, and others."""

_HEAD = f"""{IMPORTS}
@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')
def {KERNEL_ENTRY}(d):
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
