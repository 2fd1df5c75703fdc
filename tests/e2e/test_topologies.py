"""A service whose Redis is a cluster, and whose queue has its primary from Sentinel: all works as on one server."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.replica import environment, serving
from tests.redis_cluster import RedisCluster
from tests.redis_sentinel import RedisSentinel
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # with no kernel compiled yet, beside other tests

ADDS_UP = {"in_size": 1, "layers": [{"type": "recurrent", "cell": {"equations": "h = h + x"}, "hidden_size": 1}]}
LEARNS = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 1}]}


@pytest.fixture
def client(
    redis_cluster: RedisCluster, redis_sentinel: RedisSentinel, kernel_directory: Path
) -> Iterator[httpx.Client]:
    """Yield a client of a service with a worker."""
    settings = environment(
        redis_url=redis_cluster.url,
        queue_url=redis_sentinel.url,
        key_prefix=f"test-{uuid.uuid4().hex}",
        cache_dir=str(kernel_directory),
        worker="true",
    )
    with serving(settings) as service, httpx.Client(base_url=service.url, timeout=120) as client:
        yield client


def test_the_whole_api_on_a_cluster(client: httpx.Client) -> None:
    ready = client.get("/readyz").raise_for_status().json()
    assert (ready["store"]["primaries"], ready["store"]["replicas"]) == (3, 0)
    client.post("/v1/models", json={"name": "sum", "network": ADDS_UP}).raise_for_status()
    names = [f"s{number}" for number in range(20)]  # in slots of every primary
    for name in names:
        client.post("/v1/sessions", json={"session": name, "model": "sum"}).raise_for_status()
        first = client.post(f"/v1/sessions/{name}/step", json={"input": [1], "step": 0}).raise_for_status().json()
        client.post(f"/v1/sessions/{name}/sequence", json={"inputs": [[1], [1]], "position": first["position"]})
        again = client.post(f"/v1/sessions/{name}/step", json={"input": [1], "step": 0}).raise_for_status()
        assert (again.json(), again.headers["Idempotent-Replayed"]) == (first, "true")
        assert client.get(f"/v1/sessions/{name}").json()["step"] == 3
        assert client.get(f"/v1/sessions/{name}/state").raise_for_status().json()["layers"][0]["h"] == [[3.0]]
    page = client.get("/v1/sessions", params={"limit": 100}).raise_for_status().json()
    assert sorted(each["session"] for each in page["sessions"]) == sorted(names)
    for name in names:
        assert client.delete(f"/v1/sessions/{name}").status_code == 204
    assert client.get("/v1/sessions").json()["sessions"] == []


def test_the_past_of_sessions_and_watching_them_on_a_cluster(client: httpx.Client) -> None:
    client.post("/v1/models", json={"name": "sum", "network": ADDS_UP}).raise_for_status()
    for number in range(6):  # in slots of every primary
        live_through_everything(client, f"past{number}")


def live_through_everything(client: httpx.Client, session: str) -> None:
    """Watch a session, and let it go back, be shadowed, migrate and end."""
    path = f"/v1/sessions/{session}"
    body = {"session": session, "model": "sum", "history": 4, "log": 100, "events": 100}
    client.post("/v1/sessions", json=body).raise_for_status()
    client.put(f"{path}/shadow", json={"model": "sum@1"}).raise_for_status()
    with client.stream("GET", f"{path}/events") as watched:
        client.post(f"{path}/sequence", json={"inputs": [[1], [1], [1]]}).raise_for_status()
        client.post(f"{path}/rewind", json={"step": 2}).raise_for_status()
        client.post(f"{path}/migrate", json={"model": "sum", "how": "replay"}).raise_for_status()
        assert client.get(f"{path}/state").json()["layers"][0]["h"] == [[2.0]]
        assert client.post(f"{path}/replay", json={"model": "sum"}).raise_for_status().json()["steps"] == 0
        followed = wait_until(lambda: (found := client.get(f"{path}/shadow").json())["behind"] == 0 and found, 30)
        assert (followed["steps"], followed["largest"], followed["stopped"]) == (3, 0.0, None)
        client.delete(path).raise_for_status()
        told = [line.partition(": ")[2] for line in watched.iter_lines() if line.startswith("event")]
    assert told == ["sequence", "rewind", "migrate", "deleted"]


def test_a_job_whose_queue_has_its_primary_from_sentinel(client: httpx.Client) -> None:
    data = [[step % 2] for step in range(40)]
    client.post("/v1/models", json={"name": "m", "network": LEARNS}).raise_for_status()
    job = {"model": "m", "data": {"inputs": data, "targets": data, "layout": "TF"}, "window": 10, "epochs": 2}
    address = client.post("/v1/jobs", json=job).raise_for_status().headers["Location"]
    ended = wait_until(lambda: (found := client.get(address).json())["ended"] and found, 240, "the job has ended")
    assert (ended["state"], ended["result"], ended["error"]) == ("succeeded", "m@2", None)
