"""Compiled kernels, in memory and on disk.

A kernel is an object file under a name that covers everything it depends on: its text, every file of the engine, the
versions of Numba and llvmlite, and the target. A file is written whole and renamed into place, so several processes
share a directory; it carries its own digest, so a damaged one is compiled again. A directory that cannot be written
serves what it has, and the rest stays in memory.

The files are code: the directory is created with mode 700, and one that others may write to is refused.
"""

import ctypes
import functools
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding as llvm

from cellar.engine.codegen import ENTRY
from cellar.engine.target import Target, host_target
from cellar.errors import CompileFailed

Function = Callable[[int], int]
"""A kernel: takes the address of its descriptor, returns 0, or 1 if the thread flushes subnormals."""

COMPILE_TIMEOUT_S = 180
_DIGEST_BYTES = 32


class KernelCache:
    """Loads kernels by their text, from memory, from a directory, or by compiling them. Safe to share by threads."""

    def __init__(self, directory: Path | None, *, target: Target | None = None) -> None:
        self.directory = directory
        self.target = target or host_target()
        self._loaded: dict[str, Function] = {}
        self._lock = threading.Lock()
        if directory is not None:
            _prepare(directory)

    def load(self, texts: Sequence[str]) -> list[Function]:
        """Return the functions of kernel texts; those that nobody has compiled are compiled by one child process.

        Raise CompileFailed.
        """
        keys = [self.key(text) for text in texts]
        with self._lock:
            missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._loaded}
            objects = {key: found for key in missing if (found := self._read(key)) is not None}
            wanted = {key: text for key, text in missing.items() if key not in objects}
            if wanted:
                compiled = _compile(wanted, self.target)
                for key, data in compiled.items():
                    self._write(key, data)
                objects |= compiled
            for key, data in objects.items():
                self._loaded[key] = _link(data)
            return [self._loaded[key] for key in keys]

    def key(self, text: str) -> str:
        """Return the name of a kernel: sha256 over all that its machine code depends on."""
        parts = (text, _engine_digest(), version("numba"), version("llvmlite"), self.target.cpu, self.target.features)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _read(self, key: str) -> bytes | None:
        if self.directory is None:
            return None
        try:
            data = (self.directory / f"{key}.o").read_bytes()
        except FileNotFoundError:
            return None
        digest, code = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return code if hashlib.sha256(code).digest() == digest else None

    def _write(self, key: str, code: bytes) -> None:
        if self.directory is None or not os.access(self.directory, os.W_OK):
            return
        handle, name = tempfile.mkstemp(dir=self.directory, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        Path(name).rename(self.directory / f"{key}.o")


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CompileFailed(f"the kernel cache {directory} cannot be made: {error.strerror}") from error
    found = directory.stat()
    if found.st_uid not in (os.getuid(), 0):
        raise CompileFailed(f"the kernel cache {directory} belongs to another user, and its files are code")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CompileFailed(f"the kernel cache {directory} may be written by others, and its files are code: chmod 700")


def _compile(kernels: dict[str, str], target: Target) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="cellar-build-") as directory:
        request = {"directory": directory, "kernels": kernels, "cpu": target.cpu, "features": target.features}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        environment |= {
            "NUMBA_CPU_NAME": target.cpu,
            "NUMBA_CPU_FEATURES": target.features,
            # The build optimises the whole module once; Numba's own passes before that only cost time.
            "NUMBA_OPT": "0",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "cellar.engine.build"],
                input=json.dumps(request),
                capture_output=True,
                text=True,
                env=environment,
                timeout=COMPILE_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CompileFailed(f"compiling took longer than {COMPILE_TIMEOUT_S} s") from error
        if done.returncode != 0:
            last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
            raise CompileFailed(f"a kernel could not be compiled: {last}")
        return {key: (Path(directory) / f"{key}.o").read_bytes() for key in kernels}


@functools.cache
def _engine_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_engines: list[llvm.ExecutionEngine] = []
"""Keeps loaded machine code alive: a kernel may run for as long as the process does."""


_LIBRARY = ("fmaf", "memcpy", "memmove", "memset")
"""What LLVM may call for an instruction that the target lacks, or in place of a loop."""


@functools.cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    process = ctypes.CDLL(None)
    for name in _LIBRARY:
        llvm.add_symbol(name, ctypes.cast(getattr(process, name), ctypes.c_void_p).value)


def _link(code: bytes) -> Function:
    _initialise()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=3, jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    # A ctypes call releases the GIL for as long as the kernel runs.
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(engine.get_function_address(ENTRY))
