"""Which processor kernels are compiled for."""

import platform

import pytest
from llvmlite import binding as llvm

from cellar.engine.backend.compile_pool import compile_kernels
from cellar.engine.backend.kernel_cache import KernelCache
from cellar.engine.target import Registers, Target, host_levels, host_target
from cellar.errors import CompileFailed

V3 = dict.fromkeys(["sse4.2", "popcnt", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"], True)
V4 = V3 | dict.fromkeys(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"], True)


def host(monkeypatch: pytest.MonkeyPatch, machine: str, features: dict[str, bool]) -> Target:
    """Return the target of a machine with these features, whatever the suite is run for."""
    monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: features)
    return host_target()


@pytest.mark.parametrize(
    ("features", "name"),
    [
        (V4, "x86-64-v4"),
        (V4 | {"avx512dq": False}, "x86-64-v3"),
        (V3 | {"fma": False}, "x86-64-v2"),
        ({"popcnt": True}, "x86-64"),
    ],
)
def test_the_highest_level_that_a_machine_has_whole(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], name: str
) -> None:
    assert host(monkeypatch, "x86_64", features) == Target("x86_64", name)
    assert host_levels() == ["x86-64-v4", "x86-64-v3", "x86-64-v2", "x86-64"][-len(host_levels()) :]
    assert host_levels()[0] == name


def test_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host(monkeypatch, "aarch64", {"neon": True}) == Target("aarch64", "generic")
    assert host_levels() == ["generic"]


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64-v2")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx")
    levels = host_levels()
    assert host_target() == Target(platform.machine(), "x86-64-v2", "+avx")
    monkeypatch.delenv("NUMBA_CPU_NAME")
    assert host_levels() == levels


def test_llvm_knows_every_feature_by_the_name_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if platform.machine() in ("x86_64", "AMD64"):
        assert V4.keys() <= llvm.get_host_cpu_features().keys()
    else:
        assert host(monkeypatch, platform.machine(), {}) == Target(platform.machine(), "generic")


@pytest.mark.parametrize(
    ("target", "registers"),
    [
        (Target("aarch64", "generic"), Registers(32, 4)),
        (Target("arm64", "apple-m1"), Registers(32, 4)),
        (Target("x86_64", "x86-64"), Registers(16, 4)),
        (Target("x86_64", "x86-64-v2"), Registers(16, 4)),
        (Target("AMD64", "x86-64-v3"), Registers(16, 8)),
        (Target("x86_64", "x86-64-v4"), Registers(32, 16)),
        (Target("x86_64", "x86-64-v3", "+avx512f"), Registers(32, 16)),
    ],
)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_a_target_asks_no_machine(
    monkeypatch: pytest.MonkeyPatch, machine: str, target: Target, registers: Registers
) -> None:
    def ask() -> dict[str, bool]:
        raise AssertionError("the machine is asked")

    key = KernelCache(None, target=target).key("text")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(llvm, "get_host_cpu_features", ask)
    monkeypatch.setattr(llvm, "get_host_cpu_name", ask)
    monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64-v4")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx512f")
    assert target.registers == registers
    assert KernelCache(None, target=target).key("text") == key
    if target.architecture != machine:
        with pytest.raises(CompileFailed, match=f"for {target.architecture} cannot be compiled on {machine}"):
            compile_kernels({"key": "text"}, target)
