"""Compares the time of a step with few models and with many: `python -m benchmarks.models`.

A service has 1,000 models of one network, an LSTM with 32 hidden units on 8 features, and groups of 1,000 sessions of
1, 64, 256 or all of these models. They are stepped one after the other by one client (`alone`) and all in one bulk
request (`together`). Groups are measured in turn, in the reverse order in every other round. A ratio is to the sessions
of one model in the same round. With `--few-bytes`, only 100 models fit into the memory of the service.
"""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import httpx

MODELS = (1, 64, 256, 1000)
SESSIONS = 1000
ROUNDS = 9
NETWORK = {"in_size": 8, "layers": [{"type": "recurrent", "cell": "lstm", "hidden_size": 32}]}
INPUT = json.dumps([0.1] * 8)
FEW_BYTES = 13 * 1024 * 1024


@contextmanager
def service(directory: Path, **settings: str) -> Iterator[str]:
    """Yield the address of a service whose Redis does not wait for the disk."""
    own = {name: str(directory / name.lower()) for name in ("CELLAR_DATA_DIR", "CELLAR_CACHE_DIR")}
    own |= {"CELLAR_PORT": "0", "CELLAR_LOG_LEVEL": "warning", "CELLAR_DURABILITY": "relaxed", "CELLAR_WORKER": "false"}
    own["CELLAR_PROCESSES"] = "1"
    command = [sys.executable, "-m", "cellar.cli", "serve"]
    with subprocess.Popen(command, env=os.environ | own | settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield next(found[1] for line in process.stdout if (found := re.search(r"ready at (\S+)", line)))
        finally:
            process.terminate()
            process.communicate()


def make(http: httpx.Client) -> dict[int, list[str]]:
    """Create the models and their sessions; return the names of the sessions by the number of models."""
    for number in range(max(MODELS)):
        body = {"name": f"m{number}", "network": NETWORK, "seed": number}
        http.post("/v1/models", json=body).raise_for_status()
    groups: dict[int, list[str]] = {}
    for count in MODELS:
        groups[count] = [f"of{count}-{number}" for number in range(SESSIONS)]
        for number, name in enumerate(groups[count]):
            body = {"session": name, "model": f"m{number % count}"}
            http.post("/v1/sessions", json=body).raise_for_status()
    return groups


class Wire:
    """A connection with little code of its own, so that the time is that of the service."""

    def __init__(self, url: str) -> None:
        where = urlparse(url)
        assert where.hostname is not None
        assert where.port is not None
        self._host = where.netloc
        self._socket = socket.create_connection((where.hostname, where.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def step_alone(self, names: Sequence[str]) -> None:
        """Step each session once, one after the other."""
        body = f'{{"input":{INPUT}}}'
        rest = f"Host: {self._host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        for name in names:
            self._socket.sendall(f"POST /v1/sessions/{name}/step HTTP/1.1\r\n{rest}".encode())
            answer = self._socket.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer


def step_together(http: httpx.Client, names: Sequence[str]) -> None:
    """Step each session once, all of them in one request."""
    lines = "".join(f'{{"session":"{name}","input":{INPUT}}}\n' for name in names)
    answer = http.post("/v1/steps", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.text.count('"output"') == len(names), answer.text[:300]


def measure(groups: dict[int, list[str]], run: Callable[[list[str]], None], rounds: int) -> dict[int, list[float]]:
    """Return the times of a step of each group in microseconds, one for each round."""
    found: dict[int, list[float]] = {count: [] for count in groups}
    for each in groups.values():
        run(each)
    for number in range(rounds):
        for count in groups if number % 2 == 0 else reversed(groups):
            began = time.perf_counter()
            run(groups[count])
            found[count].append(1e6 * (time.perf_counter() - began) / len(groups[count]))
    return found


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--few-bytes", action="store_true", help="room for 100 models")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    asked = options.parse_args()
    settings = {"CELLAR_MODEL_CACHE_BYTES": str(FEW_BYTES)} if asked.few_bytes else {}
    with (
        tempfile.TemporaryDirectory() as directory,
        service(Path(directory), **settings) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        groups, wire = make(http), Wire(url)
        print(f"{'':10}{'models':>8}{'us a step':>12}{'ratio':>8}")
        ways: dict[str, Callable[[list[str]], None]] = {
            "alone": wire.step_alone,
            "together": lambda names: step_together(http, names),
        }
        for name, run in ways.items():
            found = measure(groups, run, asked.rounds)
            for count, times in found.items():
                ratio = statistics.median(a / b for a, b in zip(times, found[MODELS[0]], strict=True))
                print(f"{name:10}{count:8}{statistics.median(times):12.1f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
