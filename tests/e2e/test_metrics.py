"""The metrics of a service with two processes are exactly what a load generator has counted, and never decrease."""

import io
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import orjson
import pytest
from websockets.sync.client import connect

from tests.e2e.replica import Replica, environment, serving
from tests.e2e.test_serve import COUNTER
from tests.waiting import wait_until

CLIENTS = 8
"""As many connections as `test_processes` has, so that both processes accept some."""

ROUNDS = 6
NDJSON = {"content-type": "application/x-ndjson"}
NPY = {"content-type": "application/x-npy", "accept": "application/x-npy"}

Counts = Counter[str]
"""Samples of `/metrics` that are not 0, by their names with labels."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, kernel_directory: Path) -> Iterator[Replica]:
    """Yield a service of two processes with the model `counter`."""
    directory = tmp_path_factory.mktemp("data")
    own = environment(data_dir=str(directory), cache_dir=str(kernel_directory), worker="false", processes="2")
    with serving(own) as started:
        body = {"name": "counter", "network": COUNTER}
        httpx.post(f"{started.url}/v1/models", json=body, timeout=60).raise_for_status()
        yield started


def requests(transport: str, outcome: str) -> str:
    """Return the name of a sample."""
    return f'cellar_step_requests_total{{transport="{transport}",outcome="{outcome}"}}'


def steps(transport: str, outcome: str) -> str:
    """Return the name of a sample."""
    return f'cellar_steps_total{{transport="{transport}",outcome="{outcome}"}}'


class Load:
    """A client that sends requests for steps over every transport, and counts the answers."""

    def __init__(self, url: str, session: str) -> None:
        self._url, self._session = url, session
        self.counts: Counts = Counter()

    def run(self) -> None:
        """Send all kinds of requests."""
        path = f"/v1/sessions/{self._session}"
        with httpx.Client(base_url=self._url, timeout=60) as client:
            client.post("/v1/sessions", json={"session": self._session, "model": "counter"}).raise_for_status()
            self.counts["cellar_sessions_opened_total"] += 1
            for number in range(ROUNDS):
                body = {"input": [1], "step": number}
                self._note("fast_json", client.post(f"{path}/step", json=body))
                self._note("fast_json", client.post(f"{path}/step", json=body))
                self._note("fast_json", client.post(f"{path}/step", json=body | {"input": [2]}))
                self._note("fast_json", client.post(f"{path}/step", json={"input": [1, 2]}))
            array = io.BytesIO()
            np.save(array, np.ones(1, "<f4"))
            self._note("fast_npy", client.post(f"{path}/step", content=array.getvalue(), headers=NPY))
            self._note("http_json", client.post(f"{path}/sequence", json={"inputs": [[1]] * 5}), 5)
            lines = b"".join(
                orjson.dumps({"session": self._session, "input": [1] * size}) + b"\n" for size in (1, 1, 2)
            )
            answer = client.post("/v1/steps", content=lines, headers=NDJSON).raise_for_status()
            for line in answer.text.splitlines():
                self._note_document("bulk_lines", orjson.loads(line))
            lines = b'{"input": [1]}\n' * 7
            for query in ("", "?commit=all"):
                answer = client.post(f"{path}/sequence/stream{query}", content=lines, headers=NDJSON)
                self._note("long_sequence", answer, 7)
        with connect(f"{self._url.replace('http', 'ws')}{path}/stream") as socket:
            socket.recv()
            messages: list[dict[str, object]] = [{"input": [1]}, {"input": [1, 2]}, {"inputs": [[1], [1]]}]
            for body in messages:
                socket.send(orjson.dumps(body).decode())
                self._note_document("websocket", orjson.loads(socket.recv()))

    def _note(self, transport: str, answer: httpx.Response, size: int = 1) -> None:
        if answer.status_code == httpx.codes.OK:
            self._add(transport, "replayed" if "idempotent-replayed" in answer.headers else "committed", size)
        else:
            self._add_problem(transport, answer.json())

    def _note_document(self, transport: str, document: dict[str, object]) -> None:
        problem = document.get("problem", document if "status" in document else None)
        if isinstance(problem, dict):
            self._add_problem(transport, problem)
        else:
            outputs = document.get("outputs", [None])
            assert isinstance(outputs, list)
            self._add(transport, "committed", len(outputs))

    def _add(self, transport: str, outcome: str, size: int) -> None:
        self.counts[requests(transport, outcome)] += 1
        self.counts[steps(transport, outcome)] += size
        if outcome == "committed":
            self.counts['cellar_model_steps_total{tenant="default",model="counter"}'] += size

    def _add_problem(self, transport: str, problem: dict[str, object]) -> None:
        self.counts[requests(transport, "conflict" if problem["status"] == httpx.codes.CONFLICT else "refused")] += 1
        self.counts[f'cellar_problems_total{{type="{str(problem["type"]).rpartition(":")[2]}"}}'] += 1


COUNTED = (
    *("cellar_step_requests_total", "cellar_steps_total", "cellar_model_steps_total", "cellar_problems_total"),
    "cellar_sessions_opened_total",
)


def counted(url: str) -> Counts:
    """Return the counters that a load generator can know."""
    with httpx.Client(timeout=60) as client:  # a connection of its own, to any of the processes
        text = client.get(f"{url}/metrics").raise_for_status().text
    found = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(COUNTED)]
    return Counter({name: int(number) for name, number in found if float(number)})


def processes(url: str) -> list[str]:
    """Return the names of the processes."""
    return [each["name"] for each in httpx.get(f"{url}/v1/stats", timeout=60).json()["processes"]]


def load(url: str, name: str) -> Counts:
    """Send requests over several connections, and return all that was answered."""
    clients = [Load(url, f"{name}-{number}") for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return sum((client.counts for client in clients), Counter())


def test_counts_are_those_of_the_load_also_when_processes_are_replaced_and_killed(service: Replica) -> None:
    expected = load(service.url, "first")
    assert expected[requests("fast_json", "replayed")] == CLIENTS * ROUNDS
    assert len(expected) > 20
    wait_until(lambda: counted(service.url) == expected, 30, f"{expected - counted(service.url)} are counted")

    before = set(service.children("api"))
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(set(service.children("api")) - before) == 2 == len(service.children("api")), 60, "replaced")
    assert counted(service.url) == expected
    expected += load(service.url, "second")
    wait_until(lambda: counted(service.url) == expected, 30, "the new processes continue the counters")

    (victim, other) = service.children("api")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(set(service.children("api")) - {victim, other}) == 1, 30, "it is started again")
    wait_until(lambda: counted(service.url) == expected, 30, "no count is lost")
    wait_until(lambda: processes(service.url) == ["api 0", "api 1"], 60, "both processes are shown")
