"""The cache of compiled kernels: finds a kernel by its text in memory or on disk, or compiles it.

A kernel is an object file under a name that covers everything it depends on: its text, every file of the engine, the
versions of Numba and llvmlite, the machine's architecture and operating system, and the target. A file is written whole
and renamed into place, so several processes and machines can share a directory. It holds a digest of itself, so a
damaged file is compiled again. A directory that is read-only is used as it is. `LoadedKernels` limits what stays in
memory.

The files are code: the directory is created with mode 700, and one that others may write to is refused.
"""

import fcntl
import functools
import hashlib
import os
import stat
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from cellar.engine.backend.compile_pool import Compiled, compile_kernels, is_wanted
from cellar.engine.backend.loaded_code import Footprint, LoadedKernels
from cellar.engine.backend.loader import Builtin, NativeFunction, builtin, link
from cellar.engine.native_calls.command_list_call import command_list_text
from cellar.engine.native_calls.programs import advance_text, digest_chain_text, product_texts, readout_text
from cellar.engine.target import Target, host_target
from cellar.errors import CompileAbandoned, CompileFailed
from cellar.metrics.counts import COUNTS

_DIGEST_BYTES = 32

KEPT_FILE_BYTES = 512 * 1024 * 1024
"""Limit of all files in a directory of kernels. A cell of an LSTM's size has 60 KB."""


class ProductKernels(NamedTuple):
    """The products with float32 and with bfloat16 weights."""

    float32: NativeFunction
    bfloat16: NativeFunction


class KernelCache:
    """Loads kernels by their text, from memory, from a directory, or by compiling them. Safe to share by threads."""

    def __init__(
        self,
        directory: Path | None,
        *,
        beforehand: Path | None = None,
        target: Target | None = None,
        loaded: LoadedKernels | None = None,
    ) -> None:
        """Keep kernels in `directory`; `beforehand` holds others that were compiled with the installation."""
        self.directory = directory
        self.target = target or host_target()
        self._directories = [path for path in (directory, beforehand) if path is not None]
        self._loaded = loaded or LoadedKernels()
        if directory is not None:
            _create(directory)
        for path in self._directories:
            _check(path)
        if directory is not None:
            _sweep(directory)

    def load(self, texts: Sequence[str]) -> list[NativeFunction]:
        """Return the functions of kernel texts; those that are not compiled yet are compiled together.

        The first caller that needs a kernel compiles it; others wait for that kernel only. Raise CompileFailed, or as
        `compile_kernels`.
        """
        text_of = {self.key(text): text for text in texts}
        while True:
            futures, claimed = self._loaded.claim(text_of)
            if claimed:
                self._make({key: text_of[key] for key in claimed})
            try:
                return [futures[self.key(text)].result() for text in texts]
            except CompileAbandoned:  # by the caller that came first; then this one compiles the kernel
                if not is_wanted():
                    raise

    def has(self, texts: Sequence[str]) -> bool:
        """Return whether all of these kernels can be loaded without compiling them."""
        return all(self._read(self.key(text)) is not None for text in texts)

    @property
    def footprint(self) -> Footprint:
        """Return how many kernels are in memory, and how large they are."""
        return self._loaded.footprint

    @property
    def library(self) -> list[str]:
        """Return the texts that every service needs besides those of cells."""
        products = product_texts(self.target.registers)
        return [*products, advance_text(), command_list_text(), digest_chain_text(), readout_text()]

    @functools.cached_property
    def advance(self) -> Builtin:
        """The native call of a network, `network_call.advance`. Raise CompileFailed."""
        return builtin(self.load([advance_text()])[0], "advance")

    @functools.cached_property
    def run_commands(self) -> NativeFunction:
        """The native call that runs a command list, as `command_list_text` describes it. Raise CompileFailed."""
        return self.load([command_list_text()])[0]

    @functools.cached_property
    def digest_chain(self) -> NativeFunction:
        """A chain of digests in one call, as `blake2b.digest_chain` describes it. Raise CompileFailed."""
        return self.load([digest_chain_text()])[0]

    @functools.cached_property
    def readout(self) -> NativeFunction:
        """A readout that learns, as `readout.readout` describes it. Raise CompileFailed."""
        return self.load([readout_text()])[0]

    def products(self) -> ProductKernels:
        """Return the products for this target. Raise CompileFailed."""
        return ProductKernels(*self.load(product_texts(self.target.registers)))

    def warm(self, texts: Sequence[str]) -> int:
        """Compile the kernels that the directory lacks, without loading them; return their number. Raise CompileFailed.

        The target may be a processor that this machine is not.
        """
        missing = {key: text for text in texts if self._read(key := self.key(text)) is None}
        for code in self._compile(missing).values():
            if isinstance(code, CompileFailed):
                raise code
        return len(missing)

    def key(self, text: str) -> str:
        """Return the name of a kernel: sha256 over all that its machine code depends on."""
        target = self.target.architecture, self.target.cpu, self.target.features
        parts = (text, *_made_of(), sys.platform, sys.byteorder, *target)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _make(self, texts: Mapping[str, str]) -> None:
        """Read or compile these kernels and load them. An error is raised in all callers that wait for the kernel."""
        try:
            objects: Compiled = {key: found for key in texts if (found := self._read(key)) is not None}
            COUNTS.kernels_read += len(objects)
            objects |= self._compile({key: text for key, text in texts.items() if key not in objects})
            for key, code in objects.items():
                if isinstance(code, CompileFailed):
                    self._loaded.fail([key], code)
                else:
                    self._loaded.complete({key: link(code)})
        except BaseException as error:
            self._loaded.fail(texts, error)

    def _compile(self, texts: Mapping[str, str]) -> Compiled:
        began_s = time.monotonic()
        objects = compile_kernels(texts, self.target)
        if texts:
            COUNTS.compile_s.add(time.monotonic() - began_s)
        for key, code in objects.items():
            if isinstance(code, CompileFailed):
                code.text = texts[key]
            else:
                self._write(key, code)
        return objects

    def _read(self, key: str) -> bytes | None:
        for directory in self._directories:
            with suppress(OSError):
                path = directory / f"{key}.o"
                data = path.read_bytes()
                digest, code = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
                if hashlib.sha256(code).digest() == digest:
                    with suppress(OSError):  # a directory that is read only
                        os.utime(path)
                    return code
        return None

    def _write(self, key: str, code: bytes) -> None:
        if self.directory is None or not os.access(self.directory, os.W_OK):
            return
        # After an error of the disk the next process compiles the kernel again.
        with suppress(OSError):
            handle, name = tempfile.mkstemp(dir=self.directory, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    file.write(hashlib.sha256(code).digest() + code)
                    file.flush()
                    Path(name).rename(self.directory / f"{key}.o")
            except OSError:
                Path(name).unlink()
                raise
            _shrink(self.directory)


def _create(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CompileFailed(f"the kernel cache {directory} cannot be made: {error.strerror}") from error


def _check(directory: Path) -> None:
    try:
        found = directory.stat()
    except OSError as error:
        raise CompileFailed(f"the kernel cache {directory} cannot be read: {error.strerror}") from error
    if found.st_uid not in (os.getuid(), 0):
        raise CompileFailed(f"the kernel cache {directory} belongs to another user, and its files are code")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CompileFailed(f"the kernel cache {directory} may be written by others, and its files are code: chmod 700")


def _sweep(directory: Path) -> None:
    """Remove files of writers that were killed. A writer that is alive holds a lock on its file.

    A writer that has created its file and not locked it yet loses it, which costs the next process a compilation.
    """
    for path in directory.glob("*.part"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _shrink(directory: Path) -> None:
    """Remove the files that were used longest ago, until all together are no larger than KEPT_FILE_BYTES.

    Kernels in use are in memory. A kernel whose file is gone is compiled again when a process needs it.
    """
    files = [(found.stat().st_mtime_ns, found.stat().st_size, found.path) for found in os.scandir(directory)]
    left = sum(size for _, size, _ in files) - KEPT_FILE_BYTES
    for _, size, path in sorted(files) if left > 0 else ():
        if left <= 0:
            break
        Path(path).unlink(missing_ok=True)
        left -= size


@functools.cache
def _made_of() -> tuple[str, str, str]:
    """Return digests of all that machine code depends on: the files of the engine, and the compilers' versions."""
    return engine_digest(Path(__file__).parents[1]), version("numba"), version("llvmlite")


def engine_digest(directory: Path) -> str:
    """Return the sha256 over all modules in a directory and the packages in it, and their places."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*.py")):
        for part in (str(path.relative_to(directory)).encode(), path.read_bytes()):
            digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
