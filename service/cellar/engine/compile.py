"""Kernel texts to object files, in child processes: see `build` for what a child does.

One child compiles several kernels one after the other, since starting it costs as much as a small kernel; several
children share a long list, a processor each.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from cellar.engine.build import CPU_LIMIT_S
from cellar.engine.target import Target
from cellar.errors import CompileFailed

TIMEOUT_S = 180
"""What a child may take for one kernel on a busy machine; seconds are usual."""

_INHERITED = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR")

_PROCESSORS = os.cpu_count() or 1
_children = threading.BoundedSemaphore(_PROCESSORS)
"""However many models arrive at once, no more children run than there are processors."""


Compiled = dict[str, bytes | CompileFailed]
"""An object file for each key, or why there is none."""


def compile_kernels(texts: Mapping[str, str], target: Target) -> Compiled:
    """Return the object files of kernel texts, by the keys of the texts; one that fails harms no other."""
    shares = _shares(texts)
    with ThreadPoolExecutor(len(shares) or 1) as threads:
        done = threads.map(lambda share: _compiled(share, target), shares)
        return {key: code for objects in done for key, code in objects.items()}


def _shares(texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Deal the texts out to children: the longest first, each to the child that has least of them."""
    shares: list[dict[str, str]] = [{} for _ in range(min(_PROCESSORS, len(texts)))]
    for key in sorted(texts, key=lambda key: (-len(texts[key]), key)):
        least = min(shares, key=lambda share: sum(map(len, share.values())))
        least[key] = texts[key]
    return shares


def _compiled(texts: Mapping[str, str], target: Target) -> Compiled:
    try:
        return {**_run_child(texts, target)}
    except CompileFailed as error:
        if len(texts) == 1:
            return dict.fromkeys(texts, error)
        return {key: code for one in texts.items() for key, code in _compiled(dict([one]), target).items()}


def _run_child(texts: Mapping[str, str], target: Target) -> dict[str, bytes]:
    request = {"kernels": texts, "cpu": target.cpu, "features": target.features}
    with _children:
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "cellar.engine.build"],
                input=json.dumps(request),
                capture_output=True,
                text=True,
                env=_environment(target),
                timeout=TIMEOUT_S * len(texts),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CompileFailed(f"compiling took longer than {error.timeout:.0f} s") from error
    if done.returncode != 0:
        raise CompileFailed(f"a kernel could not be compiled: {_reason(done.returncode, done.stderr)}")
    return {key: base64.b64decode(code) for key, code in json.loads(done.stdout).items()}


def _reason(status: int, stderr: str) -> str:
    if status == -signal.SIGXCPU:
        return f"it took more than {CPU_LIMIT_S} s of processor time"
    if status < 0:
        return f"the compiler was ended by {signal.Signals(-status).name}"
    return (stderr.strip() or f"exit status {status}").splitlines()[-1]


def _environment(target: Target) -> dict[str, str]:
    """Return what a child needs and no more: it compiles what users wrote, and the service has secrets."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
        "NUMBA_CPU_NAME": target.cpu,
        "NUMBA_CPU_FEATURES": target.features,
        # The build optimises the whole module once; Numba's own passes before that only cost time.
        "NUMBA_OPT": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
