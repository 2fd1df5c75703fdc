"""Kernel texts to object files, in child processes: see `build` for what a child does.

One child compiles several kernels one after the other, since starting it costs as much as a small kernel; several
children share a long list, a processor each.
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

CPU_LIMIT_S = 20
"""Processor time for a kernel. The largest cell that the language allows takes two or three seconds."""

MEMORY_LIMIT_BYTES = 512 << 20
"""Memory that a child may write to for one kernel. The largest cell takes about 220 MiB, of which 150 are the
compiler's own. What Numba makes stays until the child ends, so each further kernel may add"""
FURTHER_BYTES = 32 << 20
"""this much; ten MiB are usual."""

TIMEOUT_S = 180
"""What a child may take for one kernel on a busy machine; seconds are usual."""

_INHERITED = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR")

_PROCESSORS = os.cpu_count() or 1
_children = threading.BoundedSemaphore(_PROCESSORS)
"""However many models arrive at once, no more children run than there are processors."""


POLL_INTERVAL_S = 0.1
"""How often it is looked at whether anybody still wants what is compiled."""

RESOURCE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
"""Why no process can be started now: files, processes or memory are used up."""

Wanted = Callable[[], bool]

_wanted: ContextVar[Wanted] = ContextVar("wanted", default=lambda: True)


@contextmanager
def while_wanted(wanted: Wanted) -> Iterator[None]:
    """Let what this thread compiles in here be given up, by CompileAbandoned, once nobody wants it any more."""
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def is_wanted() -> bool:
    """Return whether what this thread compiles is still wanted."""
    return _wanted.get()()


Compiled = dict[str, bytes | CompileFailed]
"""An object file for each key, or why there is none."""


def compile_kernels(texts: Mapping[str, str], target: Target) -> Compiled:
    """Return the object files of kernel texts, by the keys of the texts; one that fails harms no other.

    Raise CompileAbandoned, CompileFailed for a target of another architecture than this machine's, or Overloaded if
    no compiler can be started now.
    """
    if texts and target.architecture != platform.machine():
        raise CompileFailed(f"kernels for {target.architecture} cannot be compiled on {platform.machine()}")
    shares, wanted = _partition(texts), _wanted.get()
    with ThreadPoolExecutor(len(shares) or 1) as threads:
        done = threads.map(lambda share: _compile_share(share, target, wanted), shares)
        return {key: code for objects in done for key, code in objects.items()}


def _partition(texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Deal the texts out to children: the longest first, each to the child that has least of them."""
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
    """Run a child; return its exit status and what it wrote. It is killed when its time is over or nobody waits."""
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
    """Start a child, and send it the request on a thread: `communicate` forgets what is left of it with a time-out."""
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
    """Write a request to a child, which may end before it has read all of it."""
    with suppress(OSError), pipe:
        pipe.write(request)


def _check_wanted(wanted: Wanted) -> None:
    if not wanted():
        raise CompileAbandoned("nobody waits for it any more")


def _failure(status: int, stderr: str) -> CompileFailed:
    """Return why a child has failed; a limit that was passed is the fault of the kernel's cell."""
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
    """Return what a child needs and no more: it compiles what users wrote, and the service has secrets."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
        "NUMBA_CPU_NAME": target.cpu,
        "NUMBA_CPU_FEATURES": target.features,
        # The build optimises the whole module once; Numba's own passes before that only cost time.
        "NUMBA_OPT": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
