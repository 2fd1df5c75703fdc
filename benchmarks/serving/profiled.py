"""Runs the service under a sampling profiler: `python -m benchmarks.serving.profiled FILE`, until SIGTERM.

It runs the api process of `cellar serve`. A timer of CPU time interrupts it, and the functions on the stack are
counted. Unlike a tracing profiler, this does not slow calls, so the shares are right. Counting
begins with SIGUSR1, so that the start is not included. FILE receives folded stacks for flame graphs.
"""

import json
import os
import signal
import socket
import sys
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

from cellar import main
from cellar.embedded.announcement import ready_lines, url_of
from cellar.embedded.control import MOST_BYTES
from cellar.embedded.listeners import listen
from cellar.embedded.place import Place
from cellar.settings import Settings

INTERVAL_S = 0.001

_stacks: Counter[tuple[CodeType, ...]] = Counter()


def serve(file: Path) -> None:
    """Serve, and write the counted stacks."""
    settings = Settings.load()
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises the signal again when it has ended
    signal.signal(signal.SIGPROF, _count)
    signal.signal(signal.SIGUSR1, _begin)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with listen(settings.host, settings.port) as listener, ours:
        threading.Thread(target=_announce, args=(ours, listener), daemon=True).start()
        main.serve(settings, Place(os.getpid(), 0, 1, [os.dup(listener.fileno())], theirs.detach()))
    signal.setitimer(signal.ITIMER_PROF, 0)
    lines = [f"{';'.join(map(_name, reversed(stack)))} {count}" for stack, count in _stacks.items()]
    file.write_text("\n".join(lines))


def _announce(channel: socket.socket, listener: socket.socket) -> None:
    """Print what the parent of the process would print once it is ready."""
    url = url_of(listener)
    while "ready" not in (message := json.loads(channel.recv(MOST_BYTES))):
        pass
    print(*ready_lines(url, 1, message["ready"]), sep="\n", flush=True)


def _begin(_number: int, _frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)


def _count(_number: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        stack.append(frame.f_code)
        frame = frame.f_back
    _stacks[tuple(stack)] += 1


def _name(code: CodeType) -> str:
    """Return `package/file:function`."""
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_qualname}"


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
