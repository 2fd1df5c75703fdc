"""`cellar serve` from its start to its end, also to an early one of any of its processes."""

import os
import re
import resource
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.replica import SERVE, Replica, alive, environment, serving
from tests.redis_process import RedisProcess
from tests.waiting import wait_until

COUNTER = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": {"equations": "h = h + x"}, "hidden_size": 1}],
}


def begin(replica: Replica) -> None:
    """Create the model and the session `s`."""
    for path, body in (
        ("models", {"name": "counter", "network": COUNTER}),
        ("sessions", {"session": "s", "model": "counter"}),
    ):
        httpx.post(f"{replica.url}/v1/{path}", json=body, timeout=60).raise_for_status()


def count(replica: Replica, step: int) -> float:
    """Send step number `step` until it is answered; return the sum that the session holds then."""

    def answered() -> "httpx.Response | None":
        try:
            answer = httpx.post(f"{replica.url}/v1/sessions/s/step", json={"input": [1], "step": step}, timeout=30)
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            return None
        return answer

    answer = wait_until(answered, 30, "the step is answered")
    assert answer.status_code == 200, answer.text
    return float(answer.json()["output"][0])


def redis_of(replica: Replica) -> int:
    """Return the process id of the Redis behind a service."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    directory = Path(f"/proc/{replica.process.pid}/environ").read_bytes()
    data = next(v for v in directory.split(b"\0") if v.startswith(b"CELLAR_DATA_DIR=")).partition(b"=")[2]
    for pid in pids:
        try:
            if b"redis-server" in Path(f"/proc/{pid}/cmdline").read_bytes() and os.fsencode(
                Path(f"/proc/{pid}/cwd").readlink()
            ).startswith(data):
                return pid
        except (FileNotFoundError, PermissionError):
            continue
    raise AssertionError("no Redis has its data there")


def test_the_private_redis_is_shared_and_stops_with_the_last_service(private: dict[str, str]) -> None:
    with serving(private) as one, serving(private) as other:
        begin(one)
        assert [count(one, 0), count(other, 1)] == [1, 2]
        redis = redis_of(one)
        assert redis == redis_of(other)
        assert one.stop() == 0
        assert count(other, 2) == 3
        assert other.stop() == 0
        wait_until(lambda: not alive(redis), 10, "Redis has stopped")
    with serving(private) as later:
        assert count(later, 3) == 4


def test_a_killed_service_takes_its_children_along_and_leaves_its_sessions(private: dict[str, str]) -> None:
    with serving(private) as killed:
        begin(killed)
        assert count(killed, 0) == 1
        api = killed.child("api")
        killed.process.kill()
        wait_until(lambda: not alive(api), 10, "the api process is gone")
    with serving(private) as next_one:
        assert [count(next_one, 0), count(next_one, 1)] == [1, 2]


@pytest.mark.parametrize("victim", ["api", "redis"])
def test_what_is_killed_starts_again_and_no_step_is_lost(private: dict[str, str], victim: str) -> None:
    with serving(private) as service:
        begin(service)
        assert count(service, 0) == 1
        killed = service.child("api") if victim == "api" else redis_of(service)
        os.kill(killed, signal.SIGKILL)
        assert [count(service, step) for step in (1, 2)] == [2, 3]
        assert count(service, 2) == 3  # a replay


def test_a_full_disk_ends_nothing_and_steps_go_on_once_there_is_room(private: dict[str, str]) -> None:
    with serving(private) as service:
        begin(service)
        assert count(service, 0) == 1
        parent, redis = service.process.pid, redis_of(service)
        for process in (parent, redis):  # neither can write any more, as on a full disk
            resource.prlimit(process, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        url, body = f"{service.url}/v1/sessions/s/step", {"input": [1], "step": 1}

        def refused() -> bool:
            answer = httpx.post(url, json=body, timeout=30)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            return bool(answer.json()["outcome"] == "not_applied")  # unknown, of a step that Redis died with

        wait_until(refused, 30, "a step is refused, and not applied")
        assert not alive(redis)
        assert service.process.poll() is None
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        assert httpx.get(f"{service.url}/readyz", timeout=30).status_code == 503
        resource.prlimit(parent, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert [count(service, step) for step in (1, 2)] == [2, 3]


def test_a_killed_worker_is_replaced_and_its_job_goes_on(private: dict[str, str]) -> None:
    data = [[(7 * step % 11) / 11] for step in range(400)]
    job = {
        "model": "m",
        "data": {"inputs": data, "targets": data, "layout": "TF"},
        "window": 20,
        "epochs": 100_000,
        "optimiser": "sgd",
    }
    network = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 1}]}
    with serving(private | {"CELLAR_WORKER": "true"}) as service:
        httpx.post(f"{service.url}/v1/models", json={"name": "m", "network": network}, timeout=60).raise_for_status()
        address = httpx.post(f"{service.url}/v1/jobs", json=job, timeout=60).raise_for_status().headers["Location"]

        def state() -> Any:
            return httpx.get(service.url + address).json()

        wait_until(lambda: state()["state"] == "running" and state()["progress"], 60, "the job is under way")
        os.kill(service.child("worker"), signal.SIGKILL)
        again = wait_until(lambda: state()["attempt"] == 2 and state(), 10, "the job runs again")
        assert again["state"] == "running"
        httpx.post(f"{service.url}{address}/cancel").raise_for_status()
        assert wait_until(lambda: state()["ended"] and state(), 20, "the job has ended")["state"] == "cancelled"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_end(private: dict[str, str], number: signal.Signals) -> None:
    body = b'{"input": [1]}'
    with serving(private) as service:
        begin(service)
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection, connection.makefile("rb") as reader:
            head = f"POST /v1/sessions/s/step HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
            assert reader.readline().startswith(b"HTTP/1.1 100")  # now the service waits for the body
            service.process.send_signal(number)
            connection.sendall(body)
            answer = reader.read()  # to the end of the connection
        assert service.process.wait(timeout=30) == 0
    assert b"HTTP/1.1 200" in answer
    assert b'"output":[1.0],"step":1' in answer


def test_a_redis_that_comes_later(shared: dict[str, str], redis_process: RedisProcess) -> None:
    redis_process.kill()
    with serving(shared | {"CELLAR_REDIS_URL": redis_process.url}) as service:
        assert "but is not ready: Redis is not answering" in service.announced
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        absent = httpx.get(f"{service.url}/readyz", timeout=30)
        assert absent.status_code == 503
        assert int(absent.headers["Retry-After"]) >= 1
        redis_process.start()
        assert service.process.stdout
        assert f"is ready at {service.url}" in service.process.stdout.readline()
        begin(service)
        assert count(service, 0) == 1


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_service_is_ready_when_its_redis_has_loaded_its_data(private: dict[str, str], processes: str) -> None:
    data = Path(private["CELLAR_DATA_DIR"])
    data.mkdir(mode=0o700)
    with (data / "appendonly.aof").open("wb") as file:  # some seconds
        file.writelines(b"*3\r\n$4\r\nSADD\r\n$1\r\ns\r\n$7\r\n%07d\r\n" % number for number in range(3_000_000))
    with serving(private | {"CELLAR_PROCESSES": processes}) as service:
        assert service.announced.endswith("but is not ready: Redis is loading its data")
        assert httpx.get(f"{service.url}/readyz", timeout=30).status_code == 503
        lines = service.process.stdout
        assert lines
        assert re.fullmatch(r"Redis has loaded its data in \d+\.\d s\n", lines.readline())
        assert f"is ready at {service.url}" in lines.readline()
        assert httpx.get(f"{service.url}/readyz", timeout=30).status_code == 200


def test_a_redis_that_evicts_takes_no_steps(shared: dict[str, str], redis_process: RedisProcess) -> None:
    with serving(shared | {"CELLAR_REDIS_URL": redis_process.url}) as service, redis_process.client() as client:
        begin(service)
        assert count(service, 0) == 1
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert httpx.get(f"{service.url}/readyz", timeout=30).status_code == 503
        step = f"{service.url}/v1/sessions/s/step"
        refused = httpx.post(step, json={"input": [1], "step": 1}, timeout=30)
        assert (refused.status_code, refused.json()["outcome"]) == (503, "not_applied")
        assert "maxmemory-policy allkeys-lru" in refused.json()["detail"]
        client.config_set("maxmemory-policy", "noeviction")
        assert count(service, 1) == 2


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("port", "abc", "CELLAR_PORT='abc'"),
        ("redis_url", "http://localhost", "CELLAR_REDIS_URL"),
        ("blob_dir", "/proc/nowhere", "CELLAR_BLOB_DIR"),
        ("data_dir", "relative", "absolute"),
        ("data_dir", "/proc/nowhere", "/proc/nowhere"),
    ],
)
def test_settings_that_cannot_work(setting: str, value: str, said: str) -> None:
    done = subprocess.run(
        SERVE, env=environment(**{setting: value}), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 78
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(private: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = private | {"CELLAR_PORT": str(port)}
        done = subprocess.run(SERVE, env=settings, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert f"port {port}" in done.stderr
