"""Compilers in child processes: they end when no call waits for them, and with the process that started them."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cellar.engine import KernelCache, host_target, while_wanted
from cellar.engine.backend.compile_pool import compile_kernels
from cellar.errors import CompileAbandoned, CompileFailed, Overloaded
from tests.engine.conftest import CALLS_BACK
from tests.waiting import wait_until

ENDLESS = "while True: pass"


def until_there(path: Path) -> str:
    """Return a text that takes until a file is there, and is no kernel."""
    return f"import os\nwhile not os.path.exists({str(path)!r}): pass"


def compilers(parent: int) -> list[int]:
    """Return the compiler processes that a process has started."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [
        child
        for child in children
        if b"cellar.engine.backend.compile_worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_a_compilation_without_a_waiting_call_is_ended(tmp_path: Path) -> None:
    cache, gone = KernelCache(tmp_path / "kernels"), threading.Event()
    with ThreadPoolExecutor() as threads:
        loading = threads.submit(load, cache, ENDLESS, lambda: not gone.is_set())
        wait_until(lambda: bool(compilers(os.getpid())), 10, "a compiler runs")
        gone.set()
        with pytest.raises(CompileAbandoned):
            loading.result(timeout=10)
    assert compilers(os.getpid()) == []


def test_another_who_waits_for_the_same_kernel_gets_it(tmp_path: Path) -> None:
    """Here: is told why it cannot be had, once that is known, and not that the first one went away."""
    cache, gone, file = KernelCache(tmp_path / "kernels"), threading.Event(), tmp_path / "there"
    text = until_there(file)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(load, cache, text, lambda: not gone.is_set())
        wait_until(lambda: bool(compilers(os.getpid())), 10, "a compiler runs")
        second = threads.submit(load, cache, text, lambda: True)
        gone.set()
        with pytest.raises(CompileAbandoned):
            first.result(timeout=10)
        file.touch()
        with pytest.raises(CompileFailed, match="cellar_kernel"):
            second.result(timeout=60)


def test_a_compiler_ends_with_its_parent(tmp_path: Path) -> None:
    """Also where that is killed and cannot say so."""
    program = f"from cellar.engine import KernelCache; KernelCache(None).load([{ENDLESS!r}])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as parent:
        wait_until(lambda: bool(compilers(parent.pid)), 20, "a compiler runs")
        (child,) = compilers(parent.pid)
        wait_until(lambda: seconds(child) > 1, 20, "it has read its request")
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: commands(child) == b"", 5, "the compiler is gone")


def test_without_files_left_nothing_is_compiled_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_files(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    cache = KernelCache(tmp_path / "kernels")
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", no_files)
        with pytest.raises(Overloaded, match="too many open files"):
            cache.load(["pass"])
    with pytest.raises(CompileFailed):  # and it is tried again
        cache.load(["pass"])


def load(cache: KernelCache, text: str, wanted: Callable[[], bool]) -> None:
    with while_wanted(wanted):
        cache.load([text])


def seconds(process: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def commands(process: int) -> bytes:
    """Return the command of a process: nothing once it has ended and its exit code was not read."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def test_a_long_request_reaches_a_compiler_that_starts_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is longer than a pipe holds, and a look at the child comes before it reads."""
    monkeypatch.setattr("cellar.engine.backend.compile_pool.POLL_INTERVAL_S", 0.001)
    text = f"{CALLS_BACK}# {'long ' * 100_000}"
    assert isinstance(compile_kernels({"long": text}, host_target())["long"], bytes)
