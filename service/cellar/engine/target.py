"""The processor that kernels are compiled for: a level of x86-64 and no single model, so that machines share kernels.

Every target computes the same bits; a higher level is only faster. `NUMBA_CPU_NAME` and `NUMBA_CPU_FEATURES` choose
another one, as for Numba itself.
"""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass

from llvmlite import binding as llvm

_X86_LEVELS = (
    ("x86-64-v4", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    ("x86-64-v3", ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")),
    ("x86-64-v2", ("sse4.2", "popcnt")),
)

_X86 = ("x86_64", "AMD64")
"""The names of the architecture in Linux and Windows."""

_WIDE = ("x86-64-v4", "avx512", "cascadelake", "cooperlake", "icelake", "rapids", "tigerlake", "znver4", "znver5")
"""Parts of the names of processors with AVX-512."""


@dataclass(frozen=True, slots=True)
class Registers:
    """The vector registers of a processor: how many, and how many floats each holds."""

    count: int
    lanes: int


@dataclass(frozen=True, slots=True)
class Target:
    """A processor: its architecture, LLVM's name for it, and features to switch on or off beyond it ("+avx2,-fma").

    Everything follows from these three, on any machine. The architecture is what `platform.machine()` returns on such
    a machine.
    """

    architecture: str
    cpu: str
    features: str = ""

    @property
    def registers(self) -> Registers:
        """Return the registers that kernels may count on. A wrong guess costs speed and no bit."""
        if self.architecture not in _X86:
            return Registers(32, 4)
        if "+avx512f" in self.features or (any(w in self.cpu for w in _WIDE) and "-avx512f" not in self.features):
            return Registers(32, 16)
        if self.cpu in ("x86-64", "x86-64-v2") or (self.cpu == "generic" and "+avx2" not in self.features):
            return Registers(16, 4)
        return Registers(16, 8)


def target_here(cpu: str, features: str = "") -> Target:
    """Return a processor of this machine's architecture."""
    return Target(platform.machine(), cpu, features)


def host_target() -> Target:
    """Return the highest level that this machine has, or the target that the environment names."""
    if name := os.environ.get("NUMBA_CPU_NAME"):
        return target_here(name, os.environ.get("NUMBA_CPU_FEATURES", ""))
    return target_here(host_levels()[0])


def host_levels() -> list[str]:
    """Return the levels that this machine has, the highest first; the environment has no influence."""
    if platform.machine() not in _X86:
        return ["generic"]
    has = llvm.get_host_cpu_features()
    own = len(_X86_LEVELS)
    for place, (_, needed) in enumerate(_X86_LEVELS):
        if all(has.get(feature) for feature in needed):
            own = place
            break
    return [*(name for name, _ in _X86_LEVELS[own:]), "x86-64"]


def is_known(cpu: str) -> bool:
    """Return whether LLVM knows a processor of this name for this machine's architecture.

    LLVM has no call for this. It writes a warning to standard error, which is read from a child process.
    """
    command = [sys.executable, "-P", "-c", _MAKE_MACHINE, cpu]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "not a recognized processor" not in done.stderr


_MAKE_MACHINE = """
import sys
from llvmlite import binding
binding.initialize_native_target()
binding.initialize_native_asmprinter()
binding.Target.from_default_triple().create_target_machine(cpu=sys.argv[1])
"""
