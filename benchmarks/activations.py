"""Prints the time of each function of the cell language for sixteen numbers, and of two versions of tanh.

    .venv/bin/python -m benchmarks.activations

`ratio` is the tanh of revision 1 of the arithmetic, a ratio of polynomials that was clamped at 1 - 2^-22. `gates` is a
sigmoid times a tanh, as in the cells with gates. NUMBA_CPU_NAME chooses another processor.
"""

from time import perf_counter

import numpy as np

from cellar.engine import KernelCache, host_target
from cellar.engine.codegen.kernel_source import IMPORTS, KERNEL_ENTRY

VECTORS = 64
"""The number of vectors of sixteen: they are read from and written to the first-level cache."""

REPEATS, ROUNDS = 200, 60

FUNCTIONS = {
    "ratio": "ratio(a)",
    "tanh": "tanh(a)",
    "sigmoid": "sigmoid(a)",
    "gates": "mul(sigmoid(a), tanh(a))",
    "exp": "exp(a)",
    "log": "log(a)",
    "softplus": "softplus(a)",
}

_TEXT = """
from numpy import float32

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.simd import above, fma, splat, where

@kernel_function
def ratio(a):
    limit = splat(float32(7.90531110763549805))
    x = where(above(a, limit), limit, a)
    x = where(above(neg(limit), x), neg(limit), x)
    s = mul(x, x)
    p = splat(float32(-2.76076847742355e-16))
    p = fma(p, s, splat(float32(2.00018790482477e-13)))
    p = fma(p, s, splat(float32(-8.60467152213735e-11)))
    p = fma(p, s, splat(float32(5.12229709037114e-08)))
    p = fma(p, s, splat(float32(1.48572235717979e-05)))
    p = fma(p, s, splat(float32(6.37261928875436e-04)))
    p = fma(p, s, splat(float32(4.89352455891786e-03)))
    q = splat(float32(1.19825839466702e-06))
    q = fma(q, s, splat(float32(1.18534705686654e-04)))
    q = fma(q, s, splat(float32(2.26843463243900e-03)))
    q = fma(q, s, splat(float32(4.89352518554385e-03)))
    return where(above(splat(float32(4e-4)), absolute(a)), a, div(mul(x, p), q))


@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')
def {entry}(d):
    for _ in range({repeats}):
        for j in range(0, 64 * {vectors}, 64):
            a = load(read_int(d) + j)
            store(read_int(d + 8) + j, {call})
    return 0
"""


def kernel_text(call: str) -> str:
    """Return a kernel that applies a function to every vector of an array."""
    return IMPORTS + _TEXT.format(entry=KERNEL_ENTRY, repeats=REPEATS, vectors=VECTORS, call=call)


def measure() -> dict[str, float]:
    """Return the shortest time of each function, in nanoseconds for sixteen numbers. They are measured in turn."""
    functions = KernelCache(None).load([kernel_text(call) for call in FUNCTIONS.values()])
    inputs = (np.random.default_rng(0).normal(size=16 * VECTORS) * 2).astype(np.float32)
    outputs = np.empty_like(inputs)
    words = np.array([inputs.ctypes.data, outputs.ctypes.data], np.int64)
    least = dict.fromkeys(FUNCTIONS, float("inf"))
    for _ in range(ROUNDS):
        for name, function in zip(FUNCTIONS, functions, strict=True):
            begun = perf_counter()
            function(words.ctypes.data)
            least[name] = min(least[name], perf_counter() - begun)
    return {name: 1e9 * time_s / REPEATS / VECTORS for name, time_s in least.items()}


def main() -> None:
    """Print a line for each function."""
    found = measure()
    print(f"for {host_target().cpu}")
    for name, time_ns in found.items():
        print(f"{name:10} {time_ns:6.2f} ns  {time_ns / found['ratio']:5.2f} of the ratio")


if __name__ == "__main__":
    main()
