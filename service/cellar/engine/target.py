"""Which processor the kernels are compiled for: a level, not a model, so that machines share compiled kernels.

Every target computes the same bits; a higher level is only faster. `NUMBA_CPU_NAME` and `NUMBA_CPU_FEATURES` choose
another one, as they do for Numba itself.
"""

import os
import platform
from dataclasses import dataclass

from llvmlite import binding as llvm

_X86_LEVELS = (
    ("x86-64-v4", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    ("x86-64-v3", ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")),
    ("x86-64-v2", ("sse4.2", "popcnt")),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A processor by LLVM's name, and features to switch on or off beyond it ("+avx2,-fma")."""

    cpu: str
    features: str = ""


def host_target() -> Target:
    """Return the highest level that this machine has, or what the environment asks for."""
    if name := os.environ.get("NUMBA_CPU_NAME"):
        return Target(name, os.environ.get("NUMBA_CPU_FEATURES", ""))
    if platform.machine() not in ("x86_64", "AMD64"):
        return Target("generic")
    has = llvm.get_host_cpu_features()
    levels = (name for name, needed in _X86_LEVELS if all(has.get(feature) for feature in needed))
    return Target(next(levels, "x86-64"))
