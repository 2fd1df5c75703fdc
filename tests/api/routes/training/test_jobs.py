"""A job from its request to a session of the new version."""

from pathlib import Path

import httpx
import pytest

from cellar.main import create_app, run_job
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys
from tests.nn.golden.cases import LAYER_NORM, bidirectional, dense, dropout, embedding, network, residual

pytestmark = pytest.mark.anyio

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 4}, {"type": "dense", "out_size": 1}],
}
DATA = {"inputs": [[0, 1, 0, 1, 0, 1]], "targets": [[1, 0, 1, 0, 1, 0]], "layout": "FT"}


TAGGER = network(1, embedding(3, 4), residual(LAYER_NORM, bidirectional("rnn", 2), dropout(0.25)), dense(2))


@pytest.fixture
def own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings with keys of their own, which a worker's child process reads from its environment."""
    own = with_own_keys(settings)
    for name in ("redis_url", "key_prefix", "cache_dir"):
        monkeypatch.setenv(f"CELLAR_{name.upper()}", str(getattr(own, name)))
    monkeypatch.setenv("CELLAR_JOB_NICE", "0")  # the tests run a job in their own process
    return own


async def test_a_job_makes_a_version(own: Settings) -> None:
    async with running(create_app(own)) as client:
        assert (await client.post("/v1/models", json={"name": "model", "network": NETWORK})).status_code == 201
        body = {"model": "model", "data": DATA, "epochs": 20, "optimiser": {"type": "adam", "learning_rate": 0.05}}
        submitted = await client.post("/v1/jobs", json=body | {"recompute": 4})
        assert (submitted.status_code, submitted.json()["state"]) == (202, "queued")
        assert submitted.json()["training"]["recompute"] == 4
        run_job("default", submitted.json()["job"])
        job = (await client.get(submitted.headers["location"])).json()
        assert (job["state"], job["result"], job["attempt"]) == ("succeeded", "model@2", 1)
        losses = [epoch["loss"] for epoch in job["history"]]
        assert len(losses) == 20
        assert losses[-1] < losses[0]
        page = (await client.get(f"{submitted.headers['location']}/history", params={"limit": 15})).json()
        rest = (await client.get(f"{submitted.headers['location']}/history", params={"cursor": page["cursor"]})).json()
        assert (page["epochs"] + rest["epochs"], page["cursor"], rest["cursor"]) == (job["history"], "15", "")
        refused = await client.get(f"{submitted.headers['location']}/history", params={"cursor": "x"})
        assert (refused.status_code, "the number of an epoch" in refused.text) == (422, True)
        version = (await client.get("/v1/models/model")).json()
        assert (version["model"], version["parent"]) == ("model@2", "model@1")
        await client.post("/v1/sessions", json={"model": "model", "session": "s"})
        assert (await client.post("/v1/sessions/s/step", json={"input": [0]})).status_code == 200


async def test_a_job_trains_layers_of_every_kind(own: Settings) -> None:
    """Whether a sequence of ids ends with the id 1 is to be said at its first step."""
    ids = [[[0], [2], [1]], [[1], [0], [0]], [[2], [1], [1]], [[0], [1], [2]]]
    targets = [[[int(row[-1] == [1])]] * 3 for row in ids]
    async with running(create_app(own)) as client:
        assert (await client.post("/v1/models", json={"name": "tagger", "network": TAGGER})).status_code == 201
        data = {"layout": "BTF", "inputs": ids, "targets": targets}
        body = {"model": "tagger", "data": data, "loss": "cross_entropy", "epochs": 60, "batch_size": 4}
        body["optimiser"] = {"type": "adam", "learning_rate": 0.05}
        submitted = await client.post("/v1/jobs", json=body)
        assert submitted.status_code == 202, submitted.text
        run_job("default", submitted.json()["job"])
        job = (await client.get(submitted.headers["location"])).json()
        assert (job["state"], job["result"], job["error"]) == ("succeeded", "tagger@2", None)
        assert job["history"][-1]["loss"] < job["history"][0]["loss"]
        await client.post("/v1/sessions", json={"model": "tagger", "session": "s", "batch_size": 4})
        answer = await client.post("/v1/sessions/s/sequence", json={"inputs": ids, "layout": "BTF"})
        chosen = [max(range(2), key=steps[0].__getitem__) for steps in answer.json()["outputs"]]
        assert chosen == [1, 0, 1, 0]


async def test_a_worker_without_a_kernel_cache_fails_its_job(
    own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELLAR_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    async with running(create_app(own)) as client:
        await client.post("/v1/models", json={"name": "model", "network": NETWORK})
        submitted = await client.post("/v1/jobs", json={"model": "model", "data": DATA, "epochs": 1})
        run_job("default", submitted.json()["job"])
        job = (await client.get(submitted.headers["location"])).json()
        assert (job["state"], job["attempt"]) == ("failed", 1)
        assert "kernel cache" in job["error"]


async def test_class_indices_without_an_axis_of_features_are_told_of_it(client: httpx.AsyncClient) -> None:
    data = {"inputs": [[[0]], [[1]], [[0]]], "targets": [[0], [2], [1]]}
    answer = await client.post("/v1/jobs", json={"model": "any", "data": data, "loss": "cross_entropy"})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/data/targets/0/0")
    assert "layout 'TBF' nests an array for each letter" in answer.json()["detail"]
    assert "class index as [2], not as 2" in answer.json()["detail"]
