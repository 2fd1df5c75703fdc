"""Opens sessions of ONNX Runtime: one thread each, one arena of limited memory for all, limited time for a run."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from cellar.errors import ImportRefused

ARENA_BYTES = 1024**3
"""Of the memory for intermediate values of all graphs of a process."""
RUN_S = 10.0
"""The longest time of one run, of one step."""
WATCH_S = 0.5
"""How often running graphs are looked at."""

_LOG_FATAL_ONLY = 4
_lock = threading.Lock()
_has_arena = False


def require_runtime(place: str) -> None:
    """Raise ImportRefused, which says how to install it, unless ONNX Runtime is there."""
    if find_spec("onnxruntime") is None:
        raise ImportRefused(
            "graphs of ONNX are hosted by ONNX Runtime, which is not installed here",
            place=place,
            remedy="pip install 'cellar-serve[onnx]'",
        )


def runtime_version() -> str | None:
    """Return the version of ONNX Runtime, None if it is not installed."""
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return None


def open_session(data: bytes) -> Any:
    """Return an InferenceSession of a graph. Raise the errors of ONNX Runtime."""
    import onnxruntime

    _limit_memory(onnxruntime)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL_ONLY
    options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _limit_memory(onnxruntime: Any) -> None:
    """Create the arena that all sessions of this process share."""
    global _has_arena  # noqa: PLW0603  # ONNX Runtime has one environment for each process
    with _lock:
        if not _has_arena:
            kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
            memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
            settings = {"max_mem": ARENA_BYTES, "arena_extend_strategy": 1}
            onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(settings))
            _has_arena = True


class RunLimit:
    """Ends runs that take longer than `RUN_S`. A thread looks at them as long as there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, tuple[float, Any]] = {}
        self._is_watched = False

    @contextmanager
    def options(self) -> Iterator[Any]:
        """Yield the RunOptions of one run, which is ended when its time is over."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        key = id(options)
        with self._lock:
            self._running[key] = time.monotonic() + RUN_S, options
            if not self._is_watched:
                self._is_watched = True
                threading.Thread(target=self._watch, name="cellar-onnx-limit", daemon=True).start()
        try:
            yield options
        finally:
            with self._lock:
                del self._running[key]

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_S)
            with self._lock:
                now_s = time.monotonic()
                for end_s, options in self._running.values():
                    if now_s > end_s:
                        options.terminate = True
                if not self._running:
                    self._is_watched = False
                    return


RUN_LIMIT = RunLimit()
