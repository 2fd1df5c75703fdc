"""Clients that hold on: 5,000 idle WebSockets, and 1,000 bodies of which a byte comes in a second."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.floods import BODY, HANDSHAKE
from benchmarks.overloading.steady import measure, request
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant, create_model, create_sessions, start_cellars
from benchmarks.serving.cores import Cores
from benchmarks.serving.redis_server import RedisServer

SOCKETS, BODIES = 5000, 1000
BODY_S = 5
"""`CELLAR_BODY_TIMEOUT_S`: a body that comes too slowly is refused after this time."""
AT_MOST, ENDED_S = 2.0, 30.0
SLACK = 20
"""Descriptors that a service may have opened for itself meanwhile."""


def bars(case: Case, cores: Cores, seconds: float) -> Iterator[Bar]:
    """Yield the figures of one service."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(cores.outside, None))
        limits = {"max_streams": str(SOCKETS), "body_timeout_s": str(BODY_S), "log_level": "error"}
        (cellar,) = start_cellars(stack, (cores.service,), redis, 1, None, **limits)
        create_model(cellar, "lstm", case)
        create_sessions(cellar, ["s0"], "lstm")
        data, files = request("s0", case.in_size), _files(cellar)
        os.sched_setaffinity(0, {cores.outside})  # the client that is measured, and the flood
        before = measure(cellar.port, data, seconds)
        for name, flood, count in (("idle_sockets", "idle sockets", SOCKETS), ("slow_bodies", "slow bodies", BODIES)):
            command = [sys.executable, "-m", "benchmarks.floods", "--flood", flood, "--port", str(cellar.port)]
            with subprocess.Popen(["nice", "-n", "19", *command], stdout=subprocess.PIPE, text=True) as flooder:
                try:
                    assert flooder.stdout is not None
                    flooder.stdout.readline()  # all are open
                    yield Bar(f"held.{name}.open", float(_files(cellar) - files), count * 0.5)
                    during = measure(cellar.port, data, seconds)
                    print(f"{flood}: a step alone {before}; beside them {during}", flush=True)
                    yield Bar(f"held.{name}.p99", during.p99_s / before.p99_s, AT_MOST, at_most=True)
                    if flood == "idle sockets":
                        yield Bar("held.idle_sockets.refused_beyond_the_limit", float(_is_refused(cellar)), 1.0)
                finally:
                    flooder.kill()
            yield Bar(f"held.{name}.left", float(_left(cellar, files)), SLACK, at_most=True)
        yield Bar("held.slow_body.ends_after_s", _ends_after_s(cellar), 3 * BODY_S, at_most=True)


def _files(cellar: Contestant) -> int:
    """Return the number of open files of all processes of the service."""
    found = 0
    for pid in cellar.process.family():
        with suppress(OSError):
            found += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return found


def _left(cellar: Contestant, files: int) -> int:
    """Return how many more files than before are open once the flood has ended; wait for ENDED_S at most."""
    end_s = time.monotonic() + ENDED_S
    while (left := _files(cellar) - files) > SLACK and time.monotonic() < end_s:
        time.sleep(0.1)
    return left


def _is_refused(cellar: Contestant) -> bool:
    """Return whether a WebSocket beyond the limit is answered 503 with a time to wait."""
    with socket.create_connection(("127.0.0.1", cellar.port), 10) as client:
        client.sendall(HANDSHAKE)
        answer = client.recv(4096)
    return answer.startswith(b"HTTP/1.1 503") and b"retry-after" in answer.lower()


def _ends_after_s(cellar: Contestant) -> float:
    """Return after how many seconds a request is refused whose body comes byte by byte."""
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", cellar.port), 10) as client:
        client.sendall(BODY)
        client.settimeout(1)
        while time.monotonic() - began_s < ENDED_S:
            with suppress(TimeoutError):
                if client.recv(4096):
                    break
            client.sendall(b" ")
    return time.monotonic() - began_s
