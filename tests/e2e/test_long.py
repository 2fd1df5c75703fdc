"""A long sequence through a real service: in bounded memory, cut off in the middle, and sent again."""

import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.e2e.replica import Replica, environment, serving
from tests.waiting import wait_until

STEPS = 150_000
FEATURES = 64
"""37 MiB of inputs: more than twice what a body may have elsewhere."""

MOST_GROWTH_BYTES = 24 * 1024 * 1024


@pytest.fixture(scope="module")
def service(redis_url: str, kernel_directory: Path) -> Iterator[Replica]:
    """Yield a service with a model."""
    prefix = f"test-{uuid.uuid4().hex}"
    with serving(environment(redis_url=redis_url, key_prefix=prefix, cache_dir=str(kernel_directory))) as replica:
        create_model(replica)
        yield replica


def create_model(replica: Replica) -> None:
    """Create the model."""
    network = {"in_size": FEATURES, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 2}]}
    made = httpx.post(f"{replica.url}/v1/models", json={"name": "wide", "network": network}, timeout=60)
    assert made.status_code == 201


def begin(service: Replica) -> str:
    """Return the URL of a new session that has made a step, so that its kernel is loaded."""
    answer = httpx.post(f"{service.url}/v1/sessions", json={"model": "wide"})
    url = service.url + answer.headers["location"]
    step = httpx.post(f"{url}/step", json={"input": [0] * FEATURES}, timeout=60)
    assert step.status_code == 200
    return url


def stand(url: str) -> tuple[int, str]:
    """Return where a session is."""
    found = httpx.get(url).json()
    return found["step"], found["position"]


def header(steps: int) -> bytes:
    """Return the header of an npy file."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({steps}, {FEATURES}), }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()


def body(steps: int) -> Iterator[bytes]:
    """Yield a file of so many steps, a thousand at a time."""
    random = np.random.default_rng(7)
    yield header(STEPS)
    for _ in range(0, steps, 1000):
        yield random.standard_normal((1000, FEATURES), np.float32).tobytes()


def send(url: str, **query: str) -> list[dict[str, object]]:
    """Send the whole body and return the lines."""
    headers = {"content-type": "application/x-npy"}
    answer = httpx.post(f"{url}/sequence/stream", params=query, content=body(STEPS), headers=headers, timeout=100)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def open_request(service: Replica, url: str, query: str) -> socket.socket:
    """Send the head of a request for all steps."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    path = url.removeprefix(service.url)
    connection = socket.create_connection((host, int(port)), timeout=60)
    head = f"POST {path}/sequence/stream?{query} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-npy\r\n"
    connection.sendall(f"{head}Content-Length: {STEPS * FEATURES * 4 + 128}\r\n\r\n".encode())
    return connection


def cut_off(service: Replica, url: str, query: str) -> None:
    """Send a part of the body, wait until the service has said something, and go away."""
    with open_request(service, url, query) as connection:
        for part in body(20_000):
            connection.sendall(part)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def peak_bytes(process: int) -> int:
    """Return the largest resident size that a process has had since it was last asked."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak(process: int) -> None:
    """Begin anew with the largest size."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


@pytest.mark.parametrize("commit", ["chunk", "all"])
def test_memory_is_bounded(service: Replica, commit: str) -> None:
    url = begin(service)
    api = service.child("api")
    forget_peak(api)
    before = peak_bytes(api)
    *_, last = send(url, commit=commit)
    assert last["step"] == STEPS + 1
    assert peak_bytes(api) - before < MOST_GROWTH_BYTES < STEPS * FEATURES * 4


def test_after_a_drop_the_rest_is_applied(service: Replica) -> None:
    url, whole = begin(service), begin(service)
    _, position = stand(url)
    cut_off(service, url, f"position={position}")
    wait_until(lambda: stand(url)[0] > 1, 10, "a chunk is committed")
    first, *_, last = send(url, position=position)
    assert first["replayed"] is True
    assert (last["steps"], last["step"]) == (STEPS, STEPS + 1)
    send(whole)
    states = [httpx.get(f"{each}/state").json()["layers"] for each in (url, whole)]
    assert states[0] == states[1]


def test_a_service_that_stops_says_where_to_go_on(shared: dict[str, str]) -> None:
    with serving(shared) as replica:
        create_model(replica)
        url = begin(replica)
        with open_request(replica, url, "chunk=1000") as connection:
            for part in body(2000):
                connection.sendall(part)
            said = connection.recv(100)
            replica.process.terminate()
            while part := connection.recv(100_000):
                said += part
        assert replica.process.wait(timeout=30) == 0
    *_, last = (json.loads(line) for line in said.split(b"\r\n") if line.startswith(b"{"))
    assert (last["type"], last["first"] + 1) == ("urn:cellar:problem:overloaded", last["step"])
    assert last["first"] in (1000, 2000)


def test_who_goes_away_leaves_nothing_of_a_whole(service: Replica) -> None:
    url = begin(service)
    before = stand(url)
    cut_off(service, url, f"commit=all&position={before[1]}")
    *_, last = send(url, commit="all", position=before[1])
    assert (last["step"], last.get("replayed")) == (STEPS + 1, None)
    assert send(url, commit="all", position=before[1]) == [{**last, "replayed": True}]
