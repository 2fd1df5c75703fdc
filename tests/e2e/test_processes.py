"""`cellar serve` with several api processes: killed one by one, replaced on SIGHUP, and no step lost or doubled."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.replica import SERVE, Replica, alive, environment, serving
from tests.e2e.test_serve import COUNTER
from tests.waiting import wait_until

CLIENTS = 8
"""Connections; the kernel distributes them among two processes, and with these all to one only once in 128 runs."""


@pytest.fixture
def service(private: dict[str, str]) -> Iterator[Replica]:
    """Yield a service of two processes with the model `counter`, whose output is the sum of its inputs."""
    with serving(private | {"CELLAR_PROCESSES": "2"}) as started:
        body = {"name": "counter", "network": COUNTER}
        httpx.post(f"{started.url}/v1/models", json=body, timeout=60).raise_for_status()
        yield started


def processes(service: Replica) -> set[int]:
    """Return the api processes."""
    return set(service.children("api"))


def both_of(service: Replica) -> set[int]:
    """Return the two api processes once both run."""
    wait_until(lambda: len(processes(service)) == 2, 30, "both run")
    return processes(service)


class Writer:
    """A client with one connection that steps a session of its own and repeats what was not answered."""

    def __init__(self, url: str, number: int) -> None:
        self._url, self._session = url, f"writer-{number}"
        self.steps = self.failures = 0
        self.outputs: list[float] = []

    def run(self, stop: threading.Event) -> None:
        """Step until told to stop."""
        with httpx.Client(base_url=self._url, timeout=30) as client:
            client.post("/v1/sessions", json={"session": self._session, "model": "counter"}).raise_for_status()
            while not stop.is_set():
                try:
                    answer = client.post(
                        f"/v1/sessions/{self._session}/step", json={"input": [1], "step": self.steps}
                    ).raise_for_status()
                except httpx.HTTPError:
                    self.failures += 1
                    continue
                self.outputs.append(answer.json()["output"][0])
                self.steps += 1


@contextmanager
def writing(url: str) -> Iterator[list[Writer]]:
    """Run clients meanwhile, and check at the end that each step was applied once."""
    stop, writers = threading.Event(), [Writer(url, number) for number in range(CLIENTS)]
    threads = [threading.Thread(target=writer.run, args=(stop,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(writer.steps for writer in writers), 30, "all clients step")
        yield writers
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    for writer in writers:
        assert writer.outputs == [float(step + 1) for step in range(writer.steps)]


def more(writers: list[Writer]) -> Callable[[], bool]:
    """Return whether every client has made ten further steps."""
    before = [writer.steps for writer in writers]
    return lambda: all(writer.steps >= steps + 10 for writer, steps in zip(writers, before, strict=True))


def test_all_processes_answer_and_one_line_says_that_they_are_ready(service: Replica) -> None:
    assert "with 2 processes" in service.announced
    both = both_of(service)
    connections = [socket.create_connection(("127.0.0.1", httpx.URL(service.url).port or 0)) for _ in range(40)]
    for connection in connections:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert all(_sockets(pid) >= 5 for pid in both)
    for connection in connections:
        connection.close()
    service.process.terminate()
    assert service.process.stdout
    rest = service.process.stdout.read()
    assert rest.count("\n") == 1
    assert "Redis" in rest
    assert service.process.wait(30) == 0
    assert not any(map(alive, both))


def _sockets(pid: int) -> int:
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(link.startswith("socket:") for link in links)


def test_a_killed_process_harms_no_step_and_no_other_process(service: Replica) -> None:
    before = processes(service)
    with writing(service.url) as writers:
        for victim in sorted(before):
            os.kill(victim, signal.SIGKILL)
            wait_until(more(writers), 30, "all clients step on")
            wait_until(lambda: len(processes(service)) == 2, 30, "there are two again")
        assert not before & processes(service)
        assert max(writer.failures for writer in writers) <= 4
        assert sum(writer.failures for writer in writers) >= 1


def test_a_hangup_under_load_fails_no_request(service: Replica) -> None:
    before = processes(service)
    with writing(service.url) as writers:
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(processes(service) - before) == 2 == len(processes(service)), 60, "both are new")
        wait_until(more(writers), 30, "all clients step on")
        assert [writer.failures for writer in writers] == [0] * CLIENTS
    assert service.stop() == 0


def test_a_process_that_cannot_start_strands_no_connection(service: Replica) -> None:
    """It is killed as soon as it is there, again and again; the other one takes its connections."""
    victim = max(both_of(service))
    (steady,) = processes(service) - {victim}
    stop = threading.Event()

    def kill() -> None:
        """Kill every process but one."""
        while not stop.wait(0.05):
            for pid in processes(service) - {steady}:
                os.kill(pid, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        wait_until(lambda: not alive(victim), 10, "it is gone")
        time.sleep(0.3)  # the parent tells the other one
        longest_s = 0.0
        for _ in range(60):
            began_s = time.monotonic()
            assert httpx.get(f"{service.url}/healthz", timeout=10).status_code == 200
            longest_s = max(longest_s, time.monotonic() - began_s)
    finally:
        stop.set()
        killing.join()
    assert longest_s < 5
    wait_until(lambda: len(processes(service)) == 2, 30, "it starts once it can")


def test_the_next_step_follows_an_alias_whichever_process_takes_it(service: Replica) -> None:
    # the value is of that kind here
    faster = {**COUNTER, "layers": [{**COUNTER["layers"][0], "cell": {"equations": "h = h + x + x"}}]}  # type: ignore[index]
    model = f"{service.url}/v1/models/counter"
    httpx.put(model, json={"network": faster}, timeout=60).raise_for_status()
    httpx.put(f"{model}/aliases/live", json={"version": 1}).raise_for_status()
    for number in range(CLIENTS):
        body = {"session": f"follows-{number}", "model": "counter@live"}
        httpx.post(f"{service.url}/v1/sessions", json=body).raise_for_status()
    for version in (2, 1, 2, 1):
        httpx.put(f"{model}/aliases/live", json={"version": version}).raise_for_status()
        for number in range(CLIENTS):
            answer = httpx.post(f"{service.url}/v1/sessions/follows-{number}/step", json={"input": [1]}, timeout=60)
            assert answer.json()["model"] == f"counter@{version}"


def test_workers_are_started_as_many_as_wanted(private: dict[str, str]) -> None:
    with serving(private, [*SERVE, "--workers", "2"]) as service:
        assert len(service.children("worker")) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--processes", "0"], "--processes '0': Input should be greater than or equal to 1"),
        (["--processes", "65"], "--processes '65': Input should be less than or equal to 64"),
        (["--workers", "-1"], "--workers '-1': Input should be greater than or equal to 0"),
    ],
)
def test_numbers_that_cannot_be(options: list[str], said: str) -> None:
    command = [*SERVE, *options]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_taken_port_is_refused_to_several_processes_too(service: Replica, private: dict[str, str]) -> None:
    port = str(httpx.URL(service.url).port)
    second = private | {"CELLAR_PORT": port, "CELLAR_PROCESSES": "2"}
    done = subprocess.run(SERVE, env=second, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert f"port {port}" in done.stderr
