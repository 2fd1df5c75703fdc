"""Machine code in memory: there while somebody holds it or runs it, given back afterwards."""

import ctypes
import gc
import hashlib
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from cellar.engine import KernelCache
from cellar.engine.backend.loader import NativeFunction, builtin, link
from cellar.engine.codegen.kernel_source import KERNEL_ENTRY
from cellar.engine.native_calls.programs import product_texts
from cellar.errors import CompileFailed

Prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)


def called_by(code: Callable[[int], int], function: Callable[[int], int]) -> int:
    """Return what machine code returns that calls a Python function."""
    callback = Prototype(function)
    return code(ctypes.cast(callback, ctypes.c_void_p).value or 0)


def is_executable(place: int) -> bool:
    """Return whether this process may run what stands at an address."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights = line.split()[:2]
        begin, end = (int(edge, 16) for edge in span.split("-"))
        if begin <= place < end:
            return "x" in rights
    return False


def test_code_without_references_is_unloaded(object_file: bytes) -> None:
    code = link(object_file)
    place = code.address
    assert called_by(code, lambda number: number) == 42
    assert is_executable(place)
    del code
    assert not is_executable(place)


def test_code_is_near_its_constants_wherever_there_is_memory(cache: KernelCache, tmp_path: Path) -> None:
    """LLVM ended the process if they were two gigabytes apart."""
    (text, *_) = product_texts(cache.target.registers)
    cache.warm([text])
    assert cache.directory
    (tmp_path / "code.o").write_bytes((cache.directory / f"{cache.key(text)}.o").read_bytes()[32:])  # behind the digest
    command = [sys.executable, "-m", "tests.engine.backend.scattered_memory", str(tmp_path / "code.o")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "7 copies\n"), done.stderr


def test_code_that_runs_is_held(object_file: bytes) -> None:
    codes = [link(object_file)]
    place, watched = codes[0].address, weakref.ref(codes[0])
    seen: list[bool] = []

    def look(number: int) -> int:
        gc.collect()
        seen.append(watched() is not None and is_executable(place))
        return number

    def run(callback: int) -> int:
        return codes.pop()(callback)

    assert called_by(run, look) == 42
    assert seen == [True]
    assert watched() is None
    assert not is_executable(place)


def test_a_builtin_holds_its_code(object_file: bytes) -> None:
    def watched() -> tuple[Callable[..., int], "weakref.ref[NativeFunction]"]:
        code = link(object_file)
        return builtin(code, "never_called"), weakref.ref(code)

    function, code = watched()
    gc.collect()
    assert code() is not None
    assert function.__name__ == "never_called"
    del function
    assert code() is None


def test_loading_and_unloading_leaves_nothing(object_file: bytes) -> None:
    def mappings() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines())

    link(object_file)
    before = mappings()
    for _ in range(200):
        link(object_file)
    assert mappings() < before + 20  # three each if they stayed


def without_entry(object_file: bytes) -> bytes:
    """Return an object file whose function has another name of the same length."""
    renamed = object_file.replace(KERNEL_ENTRY.encode(), b"x" * len(KERNEL_ENTRY))
    assert renamed != object_file
    return renamed


def test_an_object_file_without_the_entry_point_is_not_linked(object_file: bytes) -> None:
    with pytest.raises(CompileFailed, match=f"the object file of a kernel has no function {KERNEL_ENTRY}"):
        link(without_entry(object_file))
    assert called_by(link(object_file), lambda number: number) == 42


def test_a_kernel_without_the_entry_point_is_an_error_for_whoever_loads_it(object_file: bytes, tmp_path: Path) -> None:
    cache, text = KernelCache(tmp_path), "# never compiled: its file is there\n"
    code = without_entry(object_file)
    (tmp_path / f"{cache.key(text)}.o").write_bytes(hashlib.sha256(code).digest() + code)
    for _ in range(2):
        with pytest.raises(CompileFailed, match="has no function"):
            cache.load([text])
