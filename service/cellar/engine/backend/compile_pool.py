"""Compiles kernel texts to object files in child processes, as many at a time as there are processors.

A child (`compile_worker`) compiles several kernels one after the other, because starting it costs as much as a small
kernel. A long list is dealt out to several children.
"""

import base64
import errno
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import IO

from cellar.engine.target import Target
from cellar.errors import CompileAbandoned, CompileFailed, Overloaded
from cellar.machine import processors

CPU_LIMIT_S = 20
"""Processor time for a kernel. The largest cell that the language allows takes two or three seconds."""

MEMORY_LIMIT_BYTES = 512 << 20
"""Memory that a child may write to for one kernel. The largest cell takes about 220 MiB, of which 150 are the
compiler's own."""

FURTHER_BYTES = 32 << 20
"""Memory for each further kernel: what Numba allocates stays until the child ends. Ten MiB are usual."""

TIMEOUT_S = 180
"""Time limit of a child for one kernel, on a busy machine; a few seconds are usual."""

_INHERITED = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR")

_PROCESSORS = processors()
_children = threading.BoundedSemaphore(_PROCESSORS)
"""However many models arrive at once, no more children run than there are processors."""


POLL_INTERVAL_S = 0.1
"""Interval at which a compilation checks whether it has been abandoned."""

RESOURCE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
"""Errors of the system that mean that no process can be started now: files, processes or memory are exhausted."""

Wanted = Callable[[], bool]

_wanted: ContextVar[Wanted] = ContextVar("wanted", default=lambda: True)


_admit: ContextVar[Callable[[], None]] = ContextVar("admit", default=lambda: None)


@contextmanager
def while_wanted(wanted: Wanted, admit: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Abandon what this thread compiles in this context, with CompileAbandoned, once `wanted` returns False.

    `admit` is called before the first kernel is compiled, and may raise an error.
    """
    is_admitted = False

    def admit_once() -> None:
        """Call `admit` the first time."""
        nonlocal is_admitted
        if not is_admitted:
            is_admitted = True
            admit()

    tokens = _wanted.set(wanted), _admit.set(admit_once)
    try:
        yield
    finally:
        _wanted.reset(tokens[0])
        _admit.reset(tokens[1])


def is_wanted() -> bool:
    """Return whether the kernels that this thread compiles are still needed."""
    return _wanted.get()()


Compiled = dict[str, bytes | CompileFailed]
"""For each key an object file, or the error of its compilation."""


def compile_kernels(texts: Mapping[str, str], target: Target) -> Compiled:
    """Return the object files of kernel texts, by the keys of the texts. A text that fails does not stop the others.

    Raise CompileAbandoned, CompileFailed for a target of another architecture than this machine's, Overloaded if no
    compiler can be started now, or the error of `admit`.
    """
    if texts and target.architecture != platform.machine():
        raise CompileFailed(f"kernels for {target.architecture} cannot be compiled on {platform.machine()}")
    if texts:
        _admit.get()()
    shares, wanted = _partition(texts), _wanted.get()
    with ThreadPoolExecutor(len(shares) or 1) as threads:
        done = threads.map(lambda share: _compile_share(share, target, wanted), shares)
        return {key: code for objects in done for key, code in objects.items()}


def _partition(texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Divide the texts among children: the longest first, each to the child with the least text so far."""
    shares: list[dict[str, str]] = [{} for _ in range(min(_PROCESSORS, len(texts)))]
    for key in sorted(texts, key=lambda key: (-len(texts[key]), key)):
        least = min(shares, key=lambda share: sum(map(len, share.values())))
        least[key] = texts[key]
    return shares


def _compile_share(texts: Mapping[str, str], target: Target, wanted: Wanted) -> Compiled:
    try:
        return {**_run_child(texts, target, wanted)}
    except CompileFailed as error:
        if len(texts) == 1:
            return dict.fromkeys(texts, error)
        return {key: code for one in texts.items() for key, code in _compile_share(dict([one]), target, wanted).items()}


def _run_child(texts: Mapping[str, str], target: Target, wanted: Wanted) -> dict[str, bytes]:
    memory_bytes = MEMORY_LIMIT_BYTES + FURTHER_BYTES * (len(texts) - 1)
    limits = {"cpu_limit_s": CPU_LIMIT_S * len(texts), "memory_limit_bytes": memory_bytes}
    request = {"kernels": texts, "cpu": target.cpu, "features": target.features, "parent": os.getpid(), **limits}
    while not _children.acquire(timeout=POLL_INTERVAL_S):
        _check_wanted(wanted)
    try:
        status, output, complaints = _communicate(json.dumps(request), target, wanted, TIMEOUT_S * len(texts))
    finally:
        _children.release()
    if status != 0:
        raise _failure(status, complaints)
    return {key: base64.b64decode(code) for key, code in json.loads(output).items()}


def _communicate(request: str, target: Target, wanted: Wanted, timeout_s: float) -> tuple[int, str, str]:
    """Run a child; return its exit status, output and errors. It is killed at its time limit or when abandoned."""
    _check_wanted(wanted)
    with _start(request, target) as child:
        deadline_s = time.monotonic() + timeout_s
        while True:
            with suppress(subprocess.TimeoutExpired):
                output, complaints = child.communicate(timeout=POLL_INTERVAL_S)
                return child.returncode, output, complaints
            try:
                _check_wanted(wanted)
                if time.monotonic() > deadline_s:
                    raise CompileFailed(f"compiling took longer than {timeout_s:.0f} s")
            except (CompileAbandoned, CompileFailed):
                child.kill()
                raise


def _start(request: str, target: Target) -> subprocess.Popen[str]:
    """Start a child and send it the request on a thread, because `communicate` drops unsent input at a time-out."""
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "cellar.engine.backend.compile_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(target),
        )
    except OSError as error:
        if error.errno not in RESOURCE_ERRORS:
            raise
        raise Overloaded(f"the compiler cannot be started now: {os.strerror(error.errno).lower()}") from error
    assert child.stdin is not None
    pipe, child.stdin = child.stdin, None
    threading.Thread(target=_send, args=(pipe, request), name="request of a compiler", daemon=True).start()
    return child


def _send(pipe: IO[str], request: str) -> None:
    """Write a request to a child. The child may end before it has read all of it."""
    with suppress(OSError), pipe:
        pipe.write(request)


def _check_wanted(wanted: Wanted) -> None:
    if not wanted():
        raise CompileAbandoned("the request was cancelled")


def _failure(status: int, stderr: str) -> CompileFailed:
    """Return the error for a child that has failed. An exceeded limit is the fault of the kernel's cell."""
    what = "a kernel could not be compiled"
    if status == -signal.SIGXCPU:
        return CompileFailed(f"{what}: it took more than {CPU_LIMIT_S} s of processor time", exceeded=True)
    if status < 0:
        return CompileFailed(f"{what}: the compiler was ended by {signal.Signals(-status).name}")
    last = (stderr.strip() or f"exit status {status}").splitlines()[-1]
    if last.startswith(("MemoryError", "RecursionError", "LLVM ERROR: out of memory")):
        limit = f"it took more than {MEMORY_LIMIT_BYTES >> 20} MiB of memory, or is nested too deeply"
        return CompileFailed(f"{what}: {limit} ({last})", exceeded=True)
    return CompileFailed(f"{what}: {last}")


def _environment(target: Target) -> dict[str, str]:
    """Return the environment of a child, without the service's secrets: the child compiles texts of users' cells."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
        "NUMBA_CPU_NAME": target.cpu,
        "NUMBA_CPU_FEATURES": target.features,
        # The build optimises the whole module once; Numba's own passes before that only cost time.
        "NUMBA_OPT": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
