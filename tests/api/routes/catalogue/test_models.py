"""Deleting models that something depends on, over real sockets and with two services on one Redis."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import httpx
import numpy as np
import pytest

from cellar.settings import Settings
from cellar.store.topology.factory import sync_client
from cellar.wire.arrays import npy
from tests.api.conftest import with_own_keys
from tests.api.websocket.conftest import NETWORK, Served, serving

pytestmark = pytest.mark.anyio

LINES = "application/x-ndjson"
INPUT = [0.5, 0.25]
DATA = {"layout": "TF", "inputs": [INPUT] * 8, "targets": [[0.5, 0.5, 0.5]] * 8}


@pytest.fixture
def own(settings: Settings) -> Settings:
    """Return settings with keys of their own."""
    return with_own_keys(settings)


@pytest.fixture
async def served(own: Settings) -> AsyncIterator[Served]:
    """Yield a service with the models `gru` and `other`."""
    async with serving(own) as served:
        await make(served, "other", seed=1)
        yield served


async def make(served: Served, name: str, *, seed: int = 0, hidden_size: int = 3) -> str:
    """Make a model and return its reference."""
    layers = [{"type": "recurrent", "cell": "gru", "hidden_size": hidden_size}]
    body = {"name": name, "seed": seed, "network": {**NETWORK, "layers": layers}}
    made = await served.http.post("/v1/models", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["model"])


async def delete(served: Served, model: str = "gru", *, force: bool = False) -> httpx.Response:
    """Ask for a model to be deleted."""
    return await served.http.delete(f"/v1/models/{model}", params={"force": "true"} if force else {})


async def step(served: Served, session: str, **more: Any) -> httpx.Response:
    """Step a session."""
    return await served.http.post(f"/v1/sessions/{session}/step", json={"input": INPUT, **more})


async def take_snapshot(served: Served, session: str) -> None:
    """Take a snapshot that is called `kept`."""
    taken = await served.http.post(f"/v1/sessions/{session}/snapshots", json={"snapshot": "kept"})
    assert taken.status_code == 201, taken.text


def slug(answer: httpx.Response) -> tuple[int, str]:
    """Return status and kind of a problem."""
    return answer.status_code, str(answer.json()["type"]).rpartition(":")[2]


DELETED = (410, "model_deleted")
FOREIGN = {"digest": "d" * 64, "weights": "a" * 64, "created_s": 1.5, "parent": None, "metrics": {}}


async def all_ways(served: Served, session: str) -> dict[str, tuple[int, str]]:
    """Return what each way of running or changing a session is answered."""
    path = f"/v1/sessions/{session}"
    one, three = np.array([INPUT], dtype=np.float32), np.array([[INPUT]] * 3, dtype=np.float32)
    npy_type = {"Content-Type": npy.MEDIA_TYPE}
    state = {"layers": [{"layer": 0, "h": [[1.0, 2.0, 3.0]]}]}
    asked = {
        "step": served.http.post(f"{path}/step", json={"input": INPUT}),
        "step with a key": served.http.post(f"{path}/step", json={"input": INPUT}, headers={"Idempotency-Key": "k"}),
        "npy": served.http.post(f"{path}/step", content=npy.dump(one), headers=npy_type),
        "sequence": served.http.post(f"{path}/sequence", json={"inputs": [INPUT] * 3}),
        "sequence as npy": served.http.post(f"{path}/sequence", content=npy.dump(three), headers=npy_type),
        "sequence/stream": served.http.post(
            f"{path}/sequence/stream", content=json.dumps({"input": INPUT}) + "\n", headers={"Content-Type": LINES}
        ),
        "reset": served.http.post(f"{path}/reset"),
        "write": served.http.put(f"{path}/state", json=state),
        "fork": served.http.post(f"{path}/fork", json={"count": 1}),
        "restore": served.http.post(f"{path}/restore", json={"snapshot": "kept"}),
        "rewind": served.http.post(f"{path}/rewind", json={"steps": 1}),
        "shadow": served.http.put(f"{path}/shadow", json={"model": "other"}),
        "replay": served.http.post(f"{path}/replay", json={"model": "other"}),
    }
    found = {way: slug(await answer) for way, answer in asked.items()}
    lines = json.dumps({"session": session, "input": INPUT}) + "\n"
    bulk = await served.http.post("/v1/steps", content=2 * lines, headers={"Content-Type": LINES})
    told = [json.loads(line) for line in bulk.text.splitlines()]
    found |= {f"bulk {number}": _slug_of(line) for number, line in enumerate(told)}
    async with served.stream() as stream:
        await stream.receive()  # the greeting
        found["stream of many"] = _slug_of(await stream.ask(session=session, input=INPUT))
    return found


def _slug_of(line: dict[str, Any]) -> tuple[int, str]:
    problem = line.get("problem", line)
    return problem["status"], problem["type"].rpartition(":")[2]


async def test_a_model_with_dependents_is_deleted_only_by_force(served: Served) -> None:
    sessions = [await served.begin(log=10) for _ in range(3)]
    follower = await served.begin(model="other", log=10)
    assert (await served.http.put(f"/v1/sessions/{follower}/shadow", json={"model": "gru"})).is_success
    await take_snapshot(served, sessions[0])
    left = {"model": "other", "how": "carry"}
    assert (await served.http.post(f"/v1/sessions/{sessions[0]}/migrate", json=left)).status_code == 200
    assert (await served.http.post("/v1/jobs", json={"model": "gru", "data": DATA})).status_code == 202
    refused = await delete(served)
    assert slug(refused) == (409, "model_in_use")
    counts = {name: refused.json()[name] for name in ("sessions", "jobs", "shadows", "snapshots")}
    assert counts == {"sessions": 2, "jobs": 1, "shadows": 1, "snapshots": 1}
    assert (await step(served, sessions[1])).status_code == 200, "a deletion that is refused changes nothing"
    assert (await delete(served, force=True)).status_code == 204
    assert slug(await step(served, sessions[1])) == DELETED
    assert (await step(served, sessions[0])).status_code == 200, "it had left the model"
    shadow = (await served.http.get(f"/v1/sessions/{follower}/shadow")).json()
    assert shadow["stopped"].startswith("model_deleted: ")
    assert [job["state"] for job in (await served.http.get("/v1/jobs")).json()["jobs"]] == ["cancelled"]
    restored = await served.http.post(f"/v1/sessions/{sessions[0]}/restore", json={"snapshot": "kept"})
    assert slug(restored) == (409, "snapshot_unfit")


async def test_a_model_is_deleted_once_nothing_depends_on_it(served: Served) -> None:
    session, other = await served.begin(), await served.begin()
    assert (await delete(served)).json()["sessions"] == 2
    assert (await served.http.delete(f"/v1/sessions/{session}")).status_code == 204
    assert (await served.http.post(f"/v1/sessions/{other}/migrate", json={"model": "other"})).status_code == 200
    assert (await delete(served)).status_code == 204
    assert slug(await delete(served)) == (404, "model_unknown")
    assert slug(await delete(served, force=True)) == (404, "model_unknown")
    assert (await step(served, other)).status_code == 200


async def test_sessions_of_a_deleted_model_answer_the_same_in_every_process_for_ever(own: Settings) -> None:
    async with serving(own) as served, serving(own) as other:
        await make(served, "other", seed=1)
        session = await served.begin(log=10, history=2)
        path = f"/v1/sessions/{session}"
        await take_snapshot(served, session)
        async with other.stream(session) as stream:
            await stream.receive()  # the greeting
            for each in (served, other):  # both have session and model in memory
                assert (await step(each, session)).status_code == 200
            assert (await stream.ask(id=1, input=INPUT))["step"] == 3
            was = await served.http.get(f"{path}/state")
            assert (await delete(served, force=True)).status_code == 204
            assert _slug_of(await stream.ask(id=2, input=INPUT)) == DELETED
        for each in (other, served):
            found = await all_ways(each, session)
            assert set(found.values()) - {(409, "not_reached")} == {DELETED}, found
        async with serving(own) as later:  # which makes the model again, with the same weights
            assert (await delete(later)).status_code == 204
            for seed in (0, 9):
                assert (await make(later, "gru", seed=seed)).startswith("gru@")
                found = await all_ways(later, session)
                assert set(found.values()) - {(409, "not_reached")} == {DELETED}, found
                assert (await delete(later)).status_code == 204, "nothing depends on it"
            assert (await later.http.get(f"{path}/state")).json() == was.json()
            await make(later, "gru")


async def test_the_state_of_a_deleted_model_is_read_in_every_form(served: Served) -> None:
    path = f"/v1/sessions/{await served.begin(batch_size=2)}"
    await served.http.post(f"{path}/step", json={"input": [INPUT, [1.0, -1.0]]})
    asked: list[tuple[dict[str, str], dict[str, str | int]]] = [
        ({"Accept": "application/json"}, {}),
        ({"Accept": "application/x-safetensors"}, {}),
        ({"Accept": npy.MEDIA_TYPE}, {}),
        ({"Accept": npy.MEDIA_TYPE}, {"layer": 0, "name": "h"}),
    ]
    before = [await served.http.get(f"{path}/state", headers=headers, params=query) for headers, query in asked]
    assert {answer.status_code for answer in before} <= {200, 406}
    assert (await delete(served, force=True)).status_code == 204
    after = [await served.http.get(f"{path}/state", headers=headers, params=query) for headers, query in asked]
    assert [answer.content for answer in after] == [answer.content for answer in before]


async def test_a_session_goes_on_with_another_model(served: Served) -> None:
    path = f"/v1/sessions/{await served.begin()}"
    twin = f"/v1/sessions/{await served.begin(model='other')}"
    await served.http.post(f"{path}/step", json={"input": INPUT})
    assert (await delete(served, force=True)).status_code == 204
    assert (await served.http.patch(path, json={"ttl_s": 1234})).json()["ttl_s"] == 1234, "it can be kept meanwhile"
    state = (await served.http.get(f"{path}/state")).json()["layers"]
    wide = await make(served, "wide", hidden_size=5)
    assert slug(await served.http.post(f"{path}/migrate", json={"model": wide})) == (409, "model_unfit")
    assert (await served.http.post(f"{path}/migrate", json={"model": "other"})).status_code == 200
    assert (await served.http.get(f"{path}/state")).json()["layers"] == state
    await served.http.put(f"{twin}/state", json={"layers": state})
    outputs = [
        (await served.http.post(f"{each}/step", json={"input": INPUT})).json()["output"] for each in (path, twin)
    ]
    assert outputs[0] == outputs[1]
    assert (await delete(served, "other")).json()["sessions"] == 2, "it depends on that one now"


async def test_a_session_goes_on_in_every_process(own: Settings) -> None:
    """Whoever has migrated it, and whatever they knew of it."""
    async with serving(own) as served, serving(own) as other:
        await make(served, "other", seed=1)
        both = served, other
        path = f"/v1/sessions/{await served.begin()}"
        session = path.rpartition("/")[2]
        assert [(await step(each, session)).status_code for each in both] == [200, 200]
        loaded = [[*each.app.state.services.sessions.models._served.values()] for each in both]  # as if still in use
        assert (await delete(served, force=True)).status_code == 204
        moved = await served.http.post(f"{path}/migrate", json={"model": "other"})
        assert moved.status_code == 200, moved.text
        assert [(await step(each, session)).status_code for each in both] == [200, 200]
        await make(served, "gru", seed=2)
        assert (await delete(served, "other", force=True)).status_code == 204
        assert [slug(await step(each, session)) for each in both] == [DELETED, DELETED]
        assert (await other.http.patch(path, json={"ttl_s": 1234})).status_code == 200
        assert (await served.http.post(f"{path}/migrate", json={"model": "gru"})).status_code == 200
        assert [(await step(each, session)).status_code for each in reversed(both)] == [200, 200]
        assert all(loaded)


async def test_a_log_is_run_on_another_model_when_its_own_is_deleted(served: Served) -> None:
    path = f"/v1/sessions/{await served.begin(log=10)}"
    await served.http.post(f"{path}/sequence", json={"inputs": [INPUT] * 3})
    assert (await delete(served, force=True)).status_code == 204
    made = await served.http.post(f"{path}/replay", json={"model": "other", "session": "again"})
    assert made.status_code == 201, made.text
    assert (await step(served, "again")).json()["step"] == 1
    wide = await make(served, "wide", hidden_size=5)
    moved = await served.http.post(f"{path}/migrate", json={"model": wide, "how": "replay"})
    assert moved.status_code == 200, moved.text


async def test_a_session_that_left_its_model_is_not_told_that_it_was_deleted(own: Settings) -> None:
    """By a process that has cached the model that the session had."""
    async with serving(own) as served, serving(own) as other:
        await make(served, "other", seed=1)
        session = await served.begin()
        assert (await step(other, session)).status_code == 200
        moved = await served.http.post(f"/v1/sessions/{session}/migrate", json={"model": "other"})
        assert moved.status_code == 200
        assert (await delete(served)).status_code == 204
        other.app.state.services.sessions.models.drop("default", "gru")
        assert (await step(other, session)).status_code == 200


async def test_of_a_deletion_and_a_creation_one_wins(served: Served) -> None:
    """Whoever was told of success can step, or is refused for the model's sake; no session is there without a model."""
    for number in range(12):
        ref = await make(served, "race", seed=number)
        names = [f"race-{number}-{each}" for each in range(6)]
        asked = [served.http.post("/v1/sessions", json={"session": name, "model": "race"}) for name in names]
        *made, deleted = await asyncio.gather(*asked, delete(served, "race"))
        created = [name for name, answer in zip(names, made, strict=True) if answer.status_code == 201]
        assert {slug(answer) for answer in made if answer.status_code != 201} <= {(404, "model_unknown"), DELETED}
        for name in names:
            found = await served.http.get(f"/v1/sessions/{name}")
            assert found.status_code == (200 if name in created else 404), "a creation that is refused leaves nothing"
        if deleted.status_code == 204:
            assert not created, f"{ref} was deleted under its sessions"
            continue
        assert slug(deleted) == (409, "model_in_use")
        assert [(await step(served, name)).status_code for name in created] == [200] * len(created)
        assert (await delete(served, "race", force=True)).status_code == 204
        assert {slug(await step(served, name)) for name in created} == {DELETED}


async def test_a_deletion_that_cannot_be_finished_holds_up_no_other(served: Served, own: Settings) -> None:
    """Of a version whose network this release does not know, say."""
    registry, session = served.app.state.services.registry, await served.begin()
    unknown = {**FOREIGN, "network": {"of": "another release"}}
    with closing(sync_client(str(own.redis_url))) as client:
        place = f"{own.key_prefix}:{{models}}:default:deleted"
        client.hset(place, "aaa@1", json.dumps({**unknown, "name": "aaa"}))
        registry.delete("default", "gru")  # and the process dies
        client.hset(place, "zzz@1", json.dumps({**unknown, "name": "zzz"}))
    with pytest.raises(ValueError, match="NetworkSpec"):
        await served.app.state.services.deletions.finish("default")
    assert slug(await step(served, session)) == DELETED
    assert {each.ref for each in registry.deleted("default")} == {"aaa@1", "zzz@1"}


async def test_before_a_deletion_is_finished_sessions_can_leave_the_model(own: Settings) -> None:
    """In a process that has not loaded it, after the one that has deleted it was killed."""
    async with serving(own) as served:
        await make(served, "other", seed=1)
        session = await served.begin()
        assert (await step(served, session)).status_code == 200
        was = (await served.http.get(f"/v1/sessions/{session}/state")).json()
        served.app.state.services.registry.delete("default", "gru")  # and the process dies
    async with serving(own) as later:
        path = f"/v1/sessions/{session}"
        assert slug(await step(later, session)) == DELETED
        assert (await later.http.get(f"{path}/state")).json() == was
        assert (await later.http.patch(path, json={"ttl_s": 1234})).json()["ttl_s"] == 1234
        assert (await later.http.post(f"{path}/migrate", json={"model": "other"})).status_code == 200
        assert (await step(later, session)).status_code == 200


async def test_a_deletion_whose_process_died_is_finished(served: Served) -> None:
    """By the same request again, or by any process that looks."""
    services = served.app.state.services
    for finish in ("the request", "another process"):
        if finish == "another process":
            await make(served, "gru")
        session = await served.begin()
        assert (await step(served, session)).status_code == 200
        was = (await served.http.get(f"/v1/sessions/{session}/state")).json()
        services.registry.delete("default", "gru")  # and the process dies
        if finish == "the request":
            assert (await delete(served, force=True)).status_code == 204
        else:
            assert await services.deletions.finish("default")
        assert not await services.deletions.finish("default"), "nothing is left to do"
        assert slug(await step(served, session)) == DELETED
        assert (await served.http.get(f"/v1/sessions/{session}/state")).json() == was


async def test_a_session_keeps_nothing_that_others_depend_on(served: Served) -> None:
    """What is a part of it goes with it, and sessions that were made of it go on."""
    session = await served.begin(log=10)
    path = f"/v1/sessions/{session}"
    await take_snapshot(served, session)
    assert (await served.http.put(f"{path}/shadow", json={"model": "other"})).is_success
    forked = await served.http.post(f"{path}/fork", json={"names": ["child"]})
    assert forked.is_success, forked.text
    assert (await served.http.delete(path)).status_code == 204
    assert (await step(served, "child")).status_code == 200
    assert (await delete(served, "other")).status_code == 204, "its shadow has gone with it"
    assert (await delete(served)).json()["sessions"] == 1
    again = await served.http.post("/v1/sessions", json={"session": session, "model": "gru"})
    assert again.status_code == 201
    assert (await served.http.get(f"{path}/snapshots")).json()["snapshots"] == []
