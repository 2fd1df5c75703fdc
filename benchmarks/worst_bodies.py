"""Measures how bodies at the size limit that are full of faults affect other clients.

`python -m benchmarks.worst_bodies` starts a service, sends the worst bodies (`benchmarks.bodies`) one by one, and steps
another session at the same time. For each body it prints the longest time of a step, the memory of the service at its
peak and afterwards, and the time until the body was answered. `--only "step, input"` sends those of one member, `--size
4` bodies of 4 MiB, `--gzip` sends them compressed.
"""

import argparse
import gzip
import http.client
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from websockets.sync.client import connect

from benchmarks.bodies import JSON, Body, json_bodies, other_bodies

MEBIBYTE = 1024 * 1024
NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": {"equations": "h = 0.5 * h + x"}, "hidden_size": 1}],
}
MOST_WAIT_S = 0.1
MOST_GROWTH = 150 * MEBIBYTE
SETTLE_S = 0.2
"""Pause after a body, before the memory is measured."""


@contextmanager
def service() -> Iterator[tuple[str, int]]:
    """Run a service of its own; yield its address and process."""
    with tempfile.TemporaryDirectory() as directory:
        own = {name: str(Path(directory) / name) for name in ("CELLAR_DATA_DIR", "CELLAR_CACHE_DIR")}
        settings = os.environ | own | {"CELLAR_PORT": "0", "CELLAR_LOG_LEVEL": "error", "CELLAR_WORKER": "false"}
        settings["CELLAR_PROCESSES"] = "1"
        command = [sys.executable, "-m", "cellar.cli", "serve"]
        with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                url = next(found[1] for line in process.stdout if (found := re.search(r"ready at (\S+)", line)))
                yield url, process.pid
            finally:
                process.terminate()
                process.communicate()


def memory_of(process: int) -> int:
    """Return the memory of a process and its children without the private Redis, in bytes."""
    own = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if "redis" in Path(f"/proc/{process}/comm").read_text():
        return 0
    children: set[int] = set()
    for thread in Path(f"/proc/{process}/task").iterdir():
        children.update(map(int, (thread / "children").read_text().split()))
    return own + sum(map(memory_of, children))


class Other:
    """Another client in its own process: it steps without pause, and measures its longest wait and the memory."""

    def __init__(self, url: str, process: int) -> None:
        self._longest_s = multiprocessing.Value("d", 0.0)
        self._most = multiprocessing.Value("q", 0)
        self._steps = multiprocessing.Process(target=self._run, args=(httpx.URL(url), process), daemon=True)

    @property
    def longest_s(self) -> float:
        """The longest wait of a step since `begin`."""
        return float(self._longest_s.value)

    @property
    def most(self) -> int:
        """The most memory since `begin`, bytes."""
        return int(self._most.value)

    def start(self) -> None:
        """Start stepping."""
        self._steps.start()

    def begin(self) -> None:
        """Reset the measurements."""
        self._longest_s.value, self._most.value = 0.0, 0

    def end(self) -> None:
        """Stop stepping."""
        self._steps.terminate()
        self._steps.join()

    def _run(self, url: httpx.URL, process: int) -> None:
        line = http.client.HTTPConnection(url.host, url.port)
        while True:
            began = time.perf_counter()
            line.request("POST", "/v1/sessions/other/step", b'{"input":[1]}', {"Content-Type": JSON})
            answer = line.getresponse()
            assert answer.status == http.client.OK, answer.read()
            answer.read()
            self._longest_s.value = max(self._longest_s.value, time.perf_counter() - began)
            self._most.value = max(self._most.value, memory_of(process))
            time.sleep(0.002)


def send(url: str, body: Body, *, compressed: bool) -> str:
    """Send a body and return the answer of the service."""
    headers = {"Content-Type": body.kind}
    data = body.data
    if compressed:
        data, headers["Content-Encoding"] = gzip.compress(data, 9), "gzip"
    answer = httpx.request(body.method, url + body.path, content=data, headers=headers, timeout=600)
    found = re.search(r"urn:cellar:problem:(\w+)", answer.text)
    return f"{answer.status_code} {found[1] if found else ''}"


def send_message(url: str, body: Body) -> str:
    """Send a body as a WebSocket message and return the answer of the service."""
    with connect(url.replace("http", "ws", 1) + body.path, max_size=None) as stream:
        stream.recv()
        try:
            stream.send(body.data.decode())
            said = str(stream.recv(timeout=600))
        except Exception as error:  # the service may have closed it
            said = str(error)
    found = re.search(r"urn:cellar:problem:(\w+)|\d{4} .*", said)
    return (found[1] or found[0]) if found else said[:60]


def measure(url: str, process: int, other: Other, body: Body, how: str) -> bool:
    """Send a body, print the measurements, and return whether they are within the bars."""
    before = memory_of(process)
    other.begin()
    began = time.perf_counter()
    said = send_message(url, body) if how == "message" else send(url, body, compressed=how == "gzip")
    took_s = time.perf_counter() - began
    time.sleep(SETTLE_S)
    grown, kept = other.most - before, memory_of(process) - before
    ok = other.longest_s <= MOST_WAIT_S and grown <= MOST_GROWTH
    print(
        f"{'ok   ' if ok else 'SHORT'} {body.place:24} {body.content:22} {len(body.data) / MEBIBYTE:6.1f} MiB"
        f"  longest wait {1e3 * other.longest_s:5.0f} ms  memory +{grown / MEBIBYTE:4.0f} MiB, kept"
        f" {kept / MEBIBYTE:4.0f} of {memory_of(process) / MEBIBYTE:.0f}  answered in {took_s:5.2f} s: {said}",
        flush=True,
    )
    return ok


def bodies(size: int) -> Iterator[tuple[Body, str]]:
    """Yield all bodies, and messages of a stream with the same content as steps."""
    for body in json_bodies(size, "one", "worst-bodies"):
        yield body, "plain"
        if body.place == "step, input":
            yield Body("message", body.content, "", "/v1/sessions/one/stream", JSON, body.data), "message"
    for body in other_bodies(size, "one"):
        yield body, "plain"


def main() -> None:
    """Measure, and return 0 if all is within the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="places and contents that hold this")
    parser.add_argument("--size", type=float, default=15.9, help="MiB")
    parser.add_argument("--gzip", action="store_true", help="send bodies compressed")
    chosen = parser.parse_args()
    short = 0
    with service() as (url, process):
        made = httpx.post(f"{url}/v1/models", json={"name": "worst-bodies", "network": NETWORK}, timeout=60)
        assert made.is_success, made.text
        for name in ("one", "other"):
            httpx.post(f"{url}/v1/sessions", json={"session": name, "model": "worst-bodies"}).raise_for_status()
            httpx.post(f"{url}/v1/sessions/{name}/step", json={"input": [1]}, timeout=60).raise_for_status()
        other = Other(url, process)
        other.start()
        for body, how in bodies(int(chosen.size * MEBIBYTE)):
            if chosen.only in f"{body.place} {body.content}" and not (chosen.gzip and how == "message"):
                short += not measure(url, process, other, body, "gzip" if chosen.gzip else how)
        other.end()
    print(f"{short} are short of {1e3 * MOST_WAIT_S:.0f} ms or {MOST_GROWTH / MEBIBYTE:.0f} MiB")


if __name__ == "__main__":
    main()
