"""The compiler's process: what goes wrong in it stays in it, and is said in one line."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cellar.engine import KernelCache
from cellar.engine.backend.compile_pool import MEMORY_LIMIT_BYTES
from cellar.errors import CompileFailed


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("def cellar_kernel(d: return 0", "SyntaxError"),
        ("pass", "KeyError: 'cellar_kernel'"),
        (f"held = bytearray({MEMORY_LIMIT_BYTES})", "MemoryError"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
    ],
    ids=["syntax", "no kernel", "memory", "killed"],
)
def test_a_failure_is_reported(text: str, detail: str, tmp_path: Path) -> None:
    cache = KernelCache(tmp_path / "kernels")
    with pytest.raises(CompileFailed, match=detail) as caught:
        cache.load([text])
    assert "\n" not in caught.value.detail
    assert caught.value.exceeded == (detail == "MemoryError")
    assert list((tmp_path / "kernels").iterdir()) == []


def test_processor_time_is_limited() -> None:
    program = "from cellar.engine.backend import compile_worker; compile_worker.main()"
    limits = {"cpu_limit_s": 2, "memory_limit_bytes": MEMORY_LIMIT_BYTES}
    request = {"kernels": {"a": "while True: pass"}, "cpu": "", "features": "", **limits}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(request),
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGXCPU
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert used > 1.5
    assert used < 4
