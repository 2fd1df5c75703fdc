"""Measures the memory of a process, and the steps of others, under concurrent JSON sequences of 11 MB.

The service has a setting in bytes for the memory of all requests. Its resident memory must not grow by more than that,
whatever the number of sequences. Those that do not fit are refused, and sent again until each is applied once.
"""

import http.client
import json
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.scaling.scene import Row, Scene
from benchmarks.serving import contestants
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.model import CASE

MEMORY_BYTES = 384 * 1024 * 1024
"""The setting of the service."""

BODY_BYTES, IN_SIZE = 11_000_000, 32
COUNTS, QUICK_COUNTS = (1, 16, 64), (1, 16)

ALONE_TIMES = 5
"""The most memory of one sequence over its size: what the service reserves."""

AGAIN_S = 1.0
"""Pause before a refused sequence is sent again: its Retry-After."""

MB = 1_000_000


def measure(scene: Scene) -> Row:
    """Measure each number of concurrent sequences, on a service of its own."""
    lines, bars = [], []
    counts = QUICK_COUNTS if scene.extent.quick else COUNTS
    body, steps = _sequence()
    with ExitStack() as stack:
        cores = (scene.cores.service, scene.cores.outside)
        (cellar,) = contestants.start_cellars(stack, cores, scene.redis, 1, max_unfinished_bytes=str(MEMORY_BYTES))
        _create(cellar, max(counts))
        cellar.process.pin(scene.cores.service)
        _send(cellar, 0, body)  # the first one loads what all need
        for count in counts:
            with _others(cellar) as waits, ThreadPoolExecutor(count) as clients:
                before = _clear_peak(cellar)
                tries = sum(clients.map(lambda index: _send(cellar, index, body), range(count)))
                grown = _peak(cellar) - before
            waits_ms = np.percentile(1e3 * np.array(waits), (50, 99, 100))
            lines.append(
                f"bodies {count} x {len(body) / MB:.0f} MB: +{grown / MB:,.0f} MB, {tries - count} refused and"
                " sent again; steps of others: "
                + "median {:.1f} ms, p99 {:.1f} ms, longest {:.0f} ms".format(*waits_ms)
            )
            most = ALONE_TIMES * len(body) if count == 1 else MEMORY_BYTES
            bars.append(Bar(f"bodies_{count}", grown / MB, most / MB, at_most=True, means="MB of resident memory"))
        made = sum(_step_of(cellar, index) for index in range(max(counts)))
        assert made == steps * (1 + sum(counts)), "a sequence was lost or doubled"
    return Row(lines, bars)


def _sequence() -> tuple[bytes, int]:
    """Return the body of a sequence, and its steps."""
    rows = np.random.default_rng(0).standard_normal((500, IN_SIZE)).tolist()
    text = json.dumps(rows)[1:-1].replace(" ", "").encode()
    times = BODY_BYTES // len(text)
    return b'{"inputs":[%b]}' % b",".join([text] * times), times * len(rows)


def _create(cellar: Contestant, count: int) -> None:
    network = {"in_size": IN_SIZE, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 8}]}
    _ask(cellar, "POST", "/v1/models", json.dumps({"name": "bodies", "network": network, "seed": 1}).encode())
    contestants.create_sessions(cellar, [*map(_name, range(count))], "bodies")
    contestants.create_sessions(cellar, ["others"])  # of another model, so that their steps share no batch


def _name(index: int) -> str:
    return f"bodies-{index}"


def _ask(cellar: Contestant, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    server = http.client.HTTPConnection("127.0.0.1", cellar.port, timeout=120)
    try:
        server.request(method, path, body, {"Content-Type": "application/json"})
        answer = server.getresponse()
        return answer.status, answer.read()
    except (BrokenPipeError, ConnectionResetError):  # it was refused before all of it was sent
        return http.client.SERVICE_UNAVAILABLE, b""
    finally:
        server.close()


def _send(cellar: Contestant, index: int, body: bytes) -> int:
    """Send a sequence until it is answered; return how many times that took."""
    tries = 1
    while (found := _ask(cellar, "POST", f"/v1/sessions/{_name(index)}/sequence", body))[0] != http.client.OK:
        assert found[0] == http.client.SERVICE_UNAVAILABLE, found
        tries += 1
        time.sleep(AGAIN_S)
    return tries


def _step_of(cellar: Contestant, index: int) -> int:
    return int(json.loads(_ask(cellar, "GET", f"/v1/sessions/{_name(index)}")[1])["step"])


@contextmanager
def _others(cellar: Contestant) -> Iterator[list[float]]:
    """Step another session meanwhile, from another process. The list has the times of its steps afterwards, seconds."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_step, args=(cellar.port, theirs), daemon=True)
    process.start()
    ours.recv()
    waits: list[float] = []
    try:
        yield waits
    finally:
        ours.send(None)
        waits += ours.recv()
        process.join()


def _step(port: int, parent: Connection) -> None:
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body, waits = json.dumps({"input": [0.5] * CASE.in_size}), []
    while not parent.poll(0.002):
        began = time.perf_counter()
        server.request("POST", "/v1/sessions/others/step", body, {"Content-Type": "application/json"})
        answer = server.getresponse()
        assert answer.status == http.client.OK, answer.read()
        answer.read()
        waits.append(time.perf_counter() - began)
        if len(waits) == 1:
            parent.send(None)
    parent.send(waits)


def _clear_peak(cellar: Contestant) -> int:
    """Reset the peak of the resident memory of the process that answers; return its present size."""
    process = _process(cellar)
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return _resident(process)


def _peak(cellar: Contestant) -> int:
    status = Path(f"/proc/{_process(cellar)}/status").read_text()
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", status)[0])


def _process(cellar: Contestant) -> int:
    return max(cellar.process.family(), key=_resident)


def _resident(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
