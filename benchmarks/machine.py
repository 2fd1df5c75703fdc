"""Measures the peaks of one core: multiply-adds in registers, and reads from each level of memory.

The loops are LLVM assembly, so the result does not depend on the optimisations of a compiler.
"""

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from llvmlite import binding as llvm

from benchmarks.timing import best_rate
from cellar.engine import Target

MEMORY_BYTES = 256 * 1024 * 1024
"""Bytes, more than most last-level caches hold."""

_READ_VECTORS = 8

_engines: list[llvm.ExecutionEngine] = []
"""Engines that own the machine code, so that it is not freed."""


def peak_flops(target: Target) -> float:
    """Return the floating-point operations a second of fused multiply-adds without loads or stores."""
    lanes, chains = target.registers.lanes, target.registers.count - 4
    function = _compile(_peak_text(lanes, chains), "peak", target, [ctypes.c_int64, ctypes.c_float, ctypes.c_float])
    turns = 10_000
    return best_rate(2 * lanes * chains * turns, lambda loops: [function(turns, 0.5, 1.0) for _ in range(loops)])


@functools.cache
def read_rate(target: Target, size: int) -> float:
    """Return the bytes a second that are read from `size` bytes, over and over."""
    lanes = target.registers.lanes
    block = 4 * lanes * _READ_VECTORS
    function = _compile(_read_text(lanes), "read", target, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64])
    blocks = max(1, size // block)
    raw = np.ones(blocks * block + 64, np.uint8)  # written, so that every page is mapped
    address = raw.ctypes.data + -raw.ctypes.data % 64
    return best_rate(blocks * block, lambda loops: function(address, blocks, loops))


def l2_bytes() -> int:
    """Return the size of the second-level cache of a core, or a common size if the system does not tell it."""
    found = os.sysconf("SC_LEVEL2_CACHE_SIZE") if "SC_LEVEL2_CACHE_SIZE" in os.sysconf_names else 0
    described = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
    if found <= 0 and described.exists():
        found = int(described.read_text().strip().removesuffix("K")) * 1024
    return found if found > 0 else 1024 * 1024


def _compile(text: str, name: str, target: Target, arguments: list[type]) -> Callable[..., int]:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, jit=True
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    _engines.append(engine)
    function: Callable[..., int] = ctypes.CFUNCTYPE(ctypes.c_int64, *arguments)(engine.get_function_address(name))
    return function


def _peak_text(lanes: int, chains: int) -> str:
    """Return `peak(turns, a, b)`: every turn, s becomes s * a + b in as many chains as registers hold."""
    kind, intrinsic = f"<{lanes} x float>", f"@llvm.fma.v{lanes}f32"
    start = [f"<{', '.join([f'float {chain}.0'] * lanes)}>" for chain in range(chains)]
    phis = [f"%s{i} = phi {kind} [{start[i]}, %entry], [%t{i}, %turn]" for i in range(chains)]
    terms = [f"%t{i} = call {kind} {intrinsic}({kind} %s{i}, {kind} %av, {kind} %bv)" for i in range(chains)]
    sums = [f"%u{i} = fadd {kind} %{f'u{i - 1}' if i > 1 else 't0'}, %t{i}" for i in range(1, chains)]
    splats = [
        f"%{name}{part}"
        for name in "ab"
        for part in (
            f"1 = insertelement {kind} poison, float %{name}, i32 0",
            f"v = shufflevector {kind} %{name}1, {kind} poison, <{lanes} x i32> zeroinitializer",
        )
    ]
    return "\n".join([
        f"declare {kind} {intrinsic}({kind}, {kind}, {kind})",
        "define i64 @peak(i64 %turns, float %a, float %b) {",
        "entry:", *splats, "br label %turn",
        "turn:", "%n = phi i64 [%turns, %entry], [%left, %turn]", *phis, *terms,
        "%left = sub i64 %n, 1", "%more = icmp sgt i64 %left, 0", "br i1 %more, label %turn, label %end",
        "end:", *sums, f"%one = extractelement {kind} %u{chains - 1}, i32 0",
        "%bits = bitcast float %one to i32", "%wide = zext i32 %bits to i64", "ret i64 %wide", "}",
    ])  # fmt: skip


def _read_text(lanes: int) -> str:
    """Return `read(address, blocks, passes)`: the bits of all vectors, folded into eight, from the start each pass."""
    kind, each = f"<{lanes} x i32>", 4 * lanes
    vectors = range(_READ_VECTORS)
    phis = [f"%s{i} = phi {kind} [%r{i}, %pass], [%t{i}, %block]" for i in vectors]
    loads = [
        line
        for i in vectors
        for line in (
            f"%p{i} = getelementptr i8, ptr %p, i64 {each * i}",
            f"%v{i} = load {kind}, ptr %p{i}, align {each}",
            f"%t{i} = xor {kind} %s{i}, %v{i}",
        )
    ]
    folds = [f"%u{i} = xor {kind} %{f'u{i - 1}' if i > 1 else 't0'}, %t{i}" for i in vectors[1:]]
    return "\n".join([
        "define i64 @read(ptr %start, i64 %blocks, i64 %passes) {",
        "entry:", "br label %pass",
        "pass:", "%m = phi i64 [%passes, %entry], [%fewer, %again]",
        *[f"%r{i} = phi {kind} [zeroinitializer, %entry], [%t{i}, %again]" for i in vectors], "br label %block",
        "block:", "%n = phi i64 [%blocks, %pass], [%left, %block]", "%p = phi ptr [%start, %pass], [%next, %block]",
        *phis, *loads, f"%next = getelementptr i8, ptr %p, i64 {each * _READ_VECTORS}",
        "%left = sub i64 %n, 1", "%more = icmp sgt i64 %left, 0", "br i1 %more, label %block, label %again",
        "again:", "%fewer = sub i64 %m, 1", "%on = icmp sgt i64 %fewer, 0", "br i1 %on, label %pass, label %end",
        "end:", *folds, f"%one = extractelement {kind} %u{_READ_VECTORS - 1}, i32 0",
        "%wide = zext i32 %one to i64", "ret i64 %wide", "}",
    ])  # fmt: skip
