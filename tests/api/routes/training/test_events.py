"""A job is followed over HTTP from its first event to its end, and tried again."""

import json

import httpx
import pytest

from cellar.main import create_app, run_job
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys
from tests.api.routes.training.test_jobs import DATA, NETWORK

pytestmark = pytest.mark.anyio

Event = tuple[str, str, dict[str, object]]


def parsed(text: str) -> list[Event]:
    """Return kind, id and data of each event in the text of a stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


async def events(client: httpx.AsyncClient, job: str, last: str | None = None) -> list[Event]:
    headers = {} if last is None else {"last-event-id": last}
    answer = await client.get(f"/v1/jobs/{job}/events", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return parsed(answer.text)


async def test_a_job_is_followed_and_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    own = with_own_keys(settings)
    for name in ("redis_url", "key_prefix", "cache_dir"):
        monkeypatch.setenv(f"CELLAR_{name.upper()}", str(getattr(own, name)))
    monkeypatch.setenv("CELLAR_JOB_NICE", "0")  # the test runs a job in its own process
    async with running(create_app(own)) as client:
        await client.post("/v1/models", json={"name": "model", "network": NETWORK})
        body = {"model": "model", "data": DATA, "epochs": 20, "publish": "always"}
        job = (await client.post("/v1/jobs", json=body)).json()["job"]
        refused = await client.post(f"/v1/jobs/{job}/retry")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:cellar:problem:job_active")
        await client.post(f"/v1/jobs/{job}/cancel")
        cancelled = await events(client, job)
        assert [kind for kind, _, _ in cancelled] == ["state", "end"]
        behind = await client.get(f"/v1/jobs/{job}/events", headers={"last-event-id": cancelled[-1][1]})
        assert (behind.status_code, behind.text) == (204, "")

        again = await client.post(f"/v1/jobs/{job}/retry")
        assert (again.status_code, again.json()["state"], again.json()["ended"]) == (202, "queued", None)
        assert again.headers["location"] == f"/v1/jobs/{job}"
        run_job("default", job)
        document = (await client.get(f"/v1/jobs/{job}")).json()
        assert (document["state"], document["result"]) == ("succeeded", "model@2")
        assert document["progress"].keys() >= {"updates_per_s", "steps_per_s", "time_left_s", "validation_loss"}

        later = await events(client, job, cancelled[-1][1])
        assert later[0][2]["state"] == "queued"
        assert later[-1][:1] + later[-1][2:] == ("end", {"state": "succeeded", "result": "model@2"})
        reports = [data for kind, _, data in later if kind == "progress"]
        # the object has it
        assert [epoch for report in reports for epoch in report["history"]] == document["history"]  # type: ignore[attr-defined]
        assert await events(client, job) == cancelled + later
        refused = await client.post(f"/v1/jobs/{job}/retry")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:cellar:problem:job_not_retryable")

        metrics = (await client.get("/metrics")).text
        assert 'cellar_jobs_ended_total{outcome="succeeded"} 1' in metrics
        assert 'cellar_jobs_ended_total{outcome="cancelled"} 1' in metrics


async def test_an_unknown_job_and_a_faulty_id_are_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/jobs/none/events")).status_code == 404
    assert (await client.post("/v1/jobs/none/retry")).status_code == 404
    answer = await client.get("/v1/jobs/none/events", headers={"last-event-id": "x"})
    assert (answer.status_code, answer.json()["expected"]) == (422, "the id of an event, unchanged")
