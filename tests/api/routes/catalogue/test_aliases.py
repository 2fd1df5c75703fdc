"""Aliases over real sockets, with two services on one Redis: they move, sessions follow them, versions are deleted."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.frames import pack_steps, unpack_answers
from cellar.settings import Settings
from cellar.wire.arrays import npy
from cellar.wire.frames import frames
from tests.api.conftest import with_own_keys
from tests.api.websocket.conftest import Served, serving

pytestmark = pytest.mark.anyio

LINES = "application/x-ndjson"
KEEPS = {1: 0.5, 2: 0.25, 3: 0.0}
"""How much of its state each version of `pump` keeps in a step: h = keep * h + x."""


def version(keep: float, *, hidden_size: int = 1) -> dict[str, Any]:
    """Return a version of `pump`."""
    cell = {"equations": "h = b_keep * h + x" if hidden_size == 1 else "h = b_keep * h + Wi @ x"}
    layer = {"type": "recurrent", "cell": cell, "hidden_size": hidden_size}
    weights: dict[str, Any] = {"0.b_keep": [keep] * hidden_size}
    if hidden_size > 1:
        weights["0.Wi"] = [[1.0]] * hidden_size
    return {"network": {"in_size": 1, "layers": [layer]}, "weights": weights}


async def publish(served: Served, *keeps: float) -> None:
    """Publish versions of `pump`."""
    for keep in keeps:
        made = await served.http.put("/v1/models/pump", json=version(keep))
        assert made.status_code == 201, made.text


async def move(served: Served, to: int, **more: Any) -> httpx.Response:
    """Move the alias `live`."""
    return await served.http.put("/v1/models/pump/aliases/live", json={"version": to, **more})


async def step(served: Served, session: str, x: float, **more: Any) -> dict[str, Any]:
    """Step a session and return the answer."""
    answer = await served.http.post(f"/v1/sessions/{session}/step", json={"input": [x], **more})
    return {"status": answer.status_code, "replayed": "idempotent-replayed" in answer.headers, **answer.json()}


def slug(answer: httpx.Response) -> tuple[int, str]:
    """Return status and kind of a problem."""
    return answer.status_code, str(answer.json()["type"]).rpartition(":")[2]


@pytest.fixture
def own(settings: Settings) -> Settings:
    """Return settings with keys of their own."""
    return with_own_keys(settings)


@pytest.fixture
async def served(own: Settings) -> AsyncIterator[Served]:
    """Yield a service with three versions of `pump`, and the alias `live` at the first."""
    async with serving(own) as served:
        await publish(served, *KEEPS.values())
        assert (await move(served, 1)).status_code == 201
        yield served


async def test_a_reference_by_alias_is_taken_wherever_a_model_is_named(served: Served) -> None:
    await move(served, 2)
    got = (await served.http.get("/v1/models/pump@live")).json()
    assert (got["model"], got["aliases"]) == ("pump@2", ["live"])
    weights = await served.http.get("/v1/models/pump@live/weights", headers={"Accept": "application/json"})
    assert weights.json()["model"] == "pump@2"
    exported = await served.http.get("/v1/models/pump@live/export?format=json")
    assert exported.json()["weights"]["0.b_keep"] == [0.25]
    session = await served.begin(model="pump@1", log=10)
    await step(served, session, 8)
    replayed = await served.http.post(f"/v1/sessions/{session}/replay", json={"model": "pump@live"})
    assert replayed.json()["model"] == "pump@2"
    shadow = await served.http.put(f"/v1/sessions/{session}/shadow", json={"model": "pump@live"})
    assert shadow.json()["model"] == "pump@2"
    data = {"layout": "TF", "inputs": [[1.0]] * 8, "targets": [[0.5]] * 8}
    job = await served.http.post("/v1/jobs", json={"model": "pump@live", "data": data})
    assert job.json()["model"] == "pump@2"
    moved = await served.http.post(f"/v1/sessions/{session}/migrate", json={"model": "pump@live"})
    assert moved.is_success
    found = (await served.http.get(f"/v1/sessions/{session}")).json()
    assert (found["model"], found["follows"]) == ("pump@2", "pump@live")
    for path in ("/v1/models/pump@nowhere", "/v1/models/nothing@live"):
        assert slug(await served.http.get(path)) == (404, "model_unknown")


async def test_a_repeated_job_of_an_alias_that_has_moved_is_the_same_job(served: Served) -> None:
    data = {"layout": "TF", "inputs": [[1.0]] * 8, "targets": [[0.5]] * 8}
    asked = {"model": "pump@live", "data": data}
    first = await served.http.post("/v1/jobs", json=asked, headers={"Idempotency-Key": "job"})
    await move(served, 2)
    again = await served.http.post("/v1/jobs", json=asked, headers={"Idempotency-Key": "job"})
    assert again.json()["job"] == first.json()["job"]
    assert again.json()["model"] == "pump@1"


async def test_every_wire_form_says_which_version_ran(served: Served) -> None:
    session = await served.begin(model="pump@live")
    path = f"/v1/sessions/{session}"
    one = np.array([1], dtype=np.float32)
    binary = {"Content-Type": npy.MEDIA_TYPE, "Accept": npy.MEDIA_TYPE}
    for number in (1, 2):
        await move(served, number)
        ref = f"pump@{number}"
        assert (await step(served, session, 1))["model"] == ref
        keyed = [await served.http.post(f"{path}/step", json={"input": [1]}, headers={"Idempotency-Key": f"k{number}"})]
        keyed += [
            await served.http.post(f"{path}/step", json={"input": [1]}, headers={"Idempotency-Key": f"k{number}"})
        ]
        assert [answer.json()["model"] for answer in keyed] == [ref, ref]
        for form, content in (("step", one), ("sequence", one[None])):
            answer = await served.http.post(f"{path}/{form}", content=npy.dump(content), headers=binary)
            assert answer.headers["cellar-model"] == ref
        sequence = await served.http.post(f"{path}/sequence", json={"inputs": [[1], [1]]})
        assert sequence.json()["model"] == ref
        line = json.dumps({"session": session, "input": [1]}) + "\n"
        bulk = await served.http.post("/v1/steps", content=2 * line, headers={"Content-Type": LINES})
        assert [json.loads(each)["model"] for each in bulk.text.splitlines()] == [ref, ref]
        for commit in ("chunk", "all"):
            streamed = await served.http.post(
                f"{path}/sequence/stream?commit={commit}",
                content='{"input": [1]}\n' * 2,
                headers={"Content-Type": LINES},
            )
            assert json.loads(streamed.text.splitlines()[0])["model"] == ref, streamed.text
        for count in (1, 8):  # by records, and by columns
            asked = [frames.Step(session, one[None, None], tag=tag) for tag in range(count)]
            framed = await served.http.post(
                "/v1/steps", content=pack_steps(asked), headers={"Content-Type": frames.MEDIA_TYPE}
            )
            assert {answer.version for answer in unpack_answers(framed.content)} == {number}
        async with served.stream(session) as stream:
            await stream.receive()
            assert (await stream.ask(input=[1]))["model"] == ref
            for count in (1, 8):
                await stream.send_frame(*[frames.Step("", one[None, None], tag=tag) for tag in range(count)])
                assert {answer.version for answer in await stream.receive_frames(count)} == {number}


async def test_a_pinned_session_says_nothing_of_versions(served: Served) -> None:
    session = await served.begin(model="pump@1")
    assert (await served.http.get(f"/v1/sessions/{session}")).json()["follows"] is None
    assert "model" not in await step(served, session, 1)
    one = np.array([1], dtype=np.float32)
    binary = {"Content-Type": npy.MEDIA_TYPE, "Accept": npy.MEDIA_TYPE}
    answer = await served.http.post(f"/v1/sessions/{session}/step", content=npy.dump(one), headers=binary)
    assert "cellar-model" not in answer.headers
    framed = pack_steps([frames.Step(session, one[None, None])])
    answer = await served.http.post("/v1/steps", content=framed, headers={"Content-Type": frames.MEDIA_TYPE})
    assert unpack_answers(answer.content)[0].version == 0


async def test_a_resumed_stream_says_which_version_ran_each_step(served: Served) -> None:
    session = await served.begin(model="pump@live")
    begun = (await served.http.get(f"/v1/sessions/{session}")).json()["position"]
    await step(served, session, 8)
    await move(served, 2)
    await step(served, session, 0)
    async with served.stream(session) as stream:
        await stream.receive()
        await stream.send(resume=begun)
        told = [await stream.receive() for _ in range(4)]
    assert [each.get("model") for each in told] == ["pump@1", None, "pump@2", None]
    assert [each.get("output") for each in told] == [[8.0], None, [2.0], None]


async def test_another_process_follows_within_two_seconds(own: Settings, served: Served) -> None:
    async with serving(own) as other:
        session = await served.begin(model="pump@live")
        assert (await step(other, session, 8))["model"] == "pump@1"
        await move(served, 2)
        async with asyncio.timeout(2):
            answer = await step(other, session, 0)
            while answer["model"] == "pump@1":
                await asyncio.sleep(0.05)
                answer = await step(other, session, 0)
        assert answer["model"] == "pump@2"
        assert answer["step"] == (await step(served, session, 0))["step"] - 1


async def test_a_session_can_be_rewound_over_a_move_of_its_alias(served: Served) -> None:
    """Each step is run by the version that ran it, and its outputs have the same bits."""
    session = await served.begin(model="pump@live", log=100, history=2)
    path, outputs = f"/v1/sessions/{session}", list[float]()
    for number, x in ((1, 8), (1, 4), (2, 4), (2, 16), (3, 5), (1, 8)):
        await move(served, number)
        outputs.append((await step(served, session, x))["output"][0])
    assert outputs == [8, 8, 6, 17.5, 5, 10.5]
    assert (await served.http.get(f"{path}/history")).json()["reachable"] == [[0, 6]]
    kinds = [entry["kind"] for entry in (await served.http.get(f"{path}/log?limit=100")).json()["entries"]]
    assert kinds == ["create", "step", "step", "follow", "step", "step", "follow", "step", "follow", "step"]
    for back, was in ((6, 10.5), (4, 17.5), (3, 6), (1, 8)):
        forked = (await served.http.post(f"{path}/fork", json={"count": 1})).json()["children"][0]["session"]
        assert (await served.http.get(f"/v1/sessions/{forked}")).json()["follows"] == "pump@live"
        assert (await served.http.post(f"{path}/rewind", json={"step": back})).is_success
        state = (await served.http.get(f"{path}/state")).json()["layers"][0]["h"]
        assert state == [[was]], back
        undo = (await served.http.get(f"{path}/log?limit=100")).json()["entries"][-2]["position"]
        assert (await served.http.post(f"{path}/rewind", json={"to": undo})).is_success, "and back again"
        assert (await served.http.get(f"{path}/state")).json()["layers"][0]["h"] == [[10.5]]
        await served.http.delete(f"/v1/sessions/{session}")
        session = await served.begin(model="pump@live", log=100, history=2)
        path = f"/v1/sessions/{session}"
        for number, x in ((1, 8), (1, 4), (2, 4), (2, 16), (3, 5), (1, 8)):
            await move(served, number)
            await step(served, session, x)


async def test_steps_of_a_deleted_version_cannot_be_run_again(served: Served) -> None:
    session = await served.begin(model="pump@live", log=100)
    path = f"/v1/sessions/{session}"
    await step(served, session, 8)
    await step(served, session, 8)
    await move(served, 2)
    await step(served, session, 4)
    assert (await served.http.delete("/v1/models/pump@1")).status_code == 204
    refused = await served.http.post(f"{path}/rewind", json={"step": 1})
    assert slug(refused) == (409, "out_of_reach")
    assert "pump@1" in refused.json()["detail"]
    assert (await step(served, session, 1))["model"] == "pump@2"


async def test_a_shadow_and_a_replay_go_over_a_move(served: Served) -> None:
    session = await served.begin(model="pump@live", log=100)
    path = f"/v1/sessions/{session}"
    assert (await served.http.put(f"{path}/shadow", json={"model": "pump@3"})).is_success
    await step(served, session, 8)
    await move(served, 2)
    await step(served, session, 4)
    await served.app.state.services.shadows.follow_all("default")
    shadow = (await served.http.get(f"{path}/shadow")).json()
    assert (shadow["stopped"], shadow["behind"], shadow["steps"], shadow["largest"]) == (None, 0, 2, 2.0)
    replayed = await served.http.post(f"{path}/replay", json={"model": "pump@1", "session": "replayed"})
    assert replayed.status_code == 201, replayed.text
    found = (await served.http.get("/v1/sessions/replayed")).json()
    assert (found["model"], found["follows"]) == ("pump@1", None)
    assert (await served.http.get("/v1/sessions/replayed/state")).json()["layers"][0]["h"] == [[8.0]]


async def test_a_watcher_sees_the_move(served: Served) -> None:
    session = await served.begin(model="pump@live", events=10)
    first = (await served.http.get(f"/v1/sessions/{session}")).json()["position"].partition(".")[0] + "-0"
    await step(served, session, 8)
    await move(served, 2)
    await step(served, session, 4)
    async with served.http.stream("GET", f"/v1/sessions/{session}/events", headers={"Last-Event-ID": first}) as answer:
        kinds: list[str] = []
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kinds.append(line.removeprefix("event: "))
            if len(kinds) == 3:
                break
    assert kinds == ["step", "follow", "step"]


async def test_a_sequence_that_is_applied_as_a_whole_is_of_one_version(served: Served) -> None:
    """An alias that moves while it is sent makes it begin again."""
    session = await served.begin(model="pump@live")
    path = f"/v1/sessions/{session}/sequence/stream?commit=all&chunk=1"
    begun = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"input": [8]}\n'
        await begun.wait()
        yield b'{"input": [0]}\n'

    async def send() -> list[dict[str, Any]]:
        answer = await served.http.post(path, content=body(), headers={"Content-Type": LINES})
        return [json.loads(line) for line in answer.text.splitlines()]

    sending = asyncio.create_task(send())
    await asyncio.sleep(0.3)
    await move(served, 2)
    begun.set()
    assert (await sending)[-1]["type"].endswith("session_moved")
    answer = await served.http.post(path, content=b'{"input": [8]}\n{"input": [0]}\n', headers={"Content-Type": LINES})
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["model"], line["outputs"]) for line in told[:2]] == [("pump@2", [[[8.0]]]), ("pump@2", [[[2.0]]])]


async def test_a_version_that_does_not_fit_is_refused_over_every_wire(served: Served) -> None:
    session = await served.begin(model="pump@live", log=100)
    await step(served, session, 8)
    assert (await served.http.put("/v1/models/pump", json=version(0.5, hidden_size=2))).json()["model"] == "pump@4"
    await move(served, 4)
    path = f"/v1/sessions/{session}"
    refused = await served.http.post(f"{path}/step", json={"input": [1]})
    assert slug(refused) == (409, "model_unfit")
    assert "follows pump@live, which is pump@4 now" in refused.json()["detail"]
    line = json.dumps({"session": session, "input": [1]}) + "\n"
    bulk = await served.http.post("/v1/steps", content=line, headers={"Content-Type": LINES})
    assert json.loads(bulk.text)["status"] == 409
    streamed = await served.http.post(
        f"{path}/sequence/stream", content='{"input": [1]}\n', headers={"Content-Type": LINES}
    )
    assert slug(streamed) == (409, "model_unfit")
    async with served.stream(session) as stream:
        await stream.receive()
        assert (await stream.ask(input=[1]))["problem"]["status"] == 409
    assert (await served.http.get(f"{path}/state")).json()["layers"][0]["h"] == [[8.0]]
    moved = await served.http.post(f"{path}/migrate", json={"model": "pump@live", "how": "replay"})
    assert moved.is_success, moved.text
    assert (await step(served, session, 0))["output"] == [4.0, 4.0]


async def test_a_version_that_nothing_needs_is_deleted_and_the_sessions_that_left_it_go_on(served: Served) -> None:
    """A session that follows an alias does not need the version that it is on once the alias has moved."""
    idle, pinned = await served.begin(model="pump@live"), await served.begin(model="pump@1")
    await step(served, idle, 8)
    refused = await served.http.delete("/v1/models/pump@1")
    assert slug(refused) == (409, "model_in_use")
    assert (refused.json()["sessions"], refused.json()["aliases"]) == (2, 1)
    await move(served, 2)
    assert (await served.http.delete("/v1/models/pump@1")).json()["sessions"] == 1
    await served.http.delete(f"/v1/sessions/{pinned}")
    assert (await served.http.delete("/v1/models/pump@1")).status_code == 204
    assert slug(await served.http.get("/v1/models/pump@1")) == (404, "model_unknown")
    answer = await step(served, idle, 4)
    assert (answer["model"], answer["output"]) == ("pump@2", [6.0])
    assert (await served.http.get("/v1/models/pump")).json()["model"] == "pump@3"


async def test_a_version_whose_successor_does_not_fit_is_needed(served: Served) -> None:
    session = await served.begin(model="pump@live")
    await step(served, session, 8)
    assert (await served.http.put("/v1/models/pump", json=version(0.5, hidden_size=2))).is_success
    await move(served, 4)
    assert (await served.http.delete("/v1/models/pump@1")).json()["sessions"] == 1


async def test_a_version_is_deleted_by_force_and_its_sessions_are_told_in_every_process(own: Settings) -> None:
    async with serving(own) as served, serving(own) as other:
        await publish(served, 0.5, 0.25)
        await move(served, 1)
        follower, pinned = await served.begin(model="pump@live"), await served.begin(model="pump@1")
        stays = await served.begin(model="pump@2")
        for each in (served, other):
            for session in (follower, pinned, stays):
                assert (await step(each, session, 1))["status"] == 200
        data = {"layout": "TF", "inputs": [[1.0]] * 8, "targets": [[0.5]] * 8}
        job = (await served.http.post("/v1/jobs", json={"model": "pump@1", "data": data})).json()["job"]
        refused = (await served.http.delete("/v1/models/pump@1")).json()
        assert (refused["sessions"], refused["jobs"], refused["aliases"]) == (2, 1, 1)
        assert (await served.http.delete("/v1/models/pump@1?force=true")).status_code == 204
        for each in (other, served):
            for session in (follower, pinned):
                answer = await step(each, session, 1)
                assert (answer["status"], answer["type"]) == (410, "urn:cellar:problem:model_deleted")
                assert "pump@1" in answer["detail"]
            assert (await step(each, stays, 1))["status"] == 200
        assert (await served.http.get(f"/v1/jobs/{job}")).json()["state"] == "cancelled"
        assert slug(await served.http.get("/v1/models/pump/aliases/live")) == (404, "alias_unknown")
    async with serving(own) as later:
        for session in (follower, pinned):
            assert (await step(later, session, 1))["status"] == 410, "after a restart as before"
        assert (await later.http.post(f"/v1/sessions/{pinned}/migrate", json={"model": "pump@2"})).is_success
        assert (await step(later, pinned, 0))["output"] == [0.25 * 1.5]
        await move(later, 2)
        assert (await step(later, follower, 0))["model"] == "pump@2", "its alias is there again"


async def test_a_version_that_is_deleted_while_its_alias_moves_leaves_no_session_behind(served: Served) -> None:
    for number in range(6):
        made = (await served.http.put("/v1/models/pump", json=version(0.125 + number))).json()["version"]
        await move(served, made)
        sessions = [await served.begin(model="pump@live") for _ in range(3)]
        await move(served, 1)
        deletion = asyncio.create_task(served.http.delete(f"/v1/models/pump@{made}"))
        answers = await asyncio.gather(*(step(served, session, 1) for session in sessions))
        assert {answer["status"] for answer in answers} == {200}
        assert (await deletion).status_code == 204
        assert [(await step(served, session, 1))["model"] for session in sessions] == ["pump@1"] * 3


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/version"),
        ({"version": 0}, "/version"),
        ({"version": "2"}, "/version"),
        ({"version": 10**9}, "/version"),
        ({"version": 1, "expected": 0}, "/expected"),
        ({"version": 1, "expect": 1}, "/expect"),
    ],
)
async def test_bad_moves_are_refused(served: Served, body: dict[str, Any], pointer: str) -> None:
    refused = await served.http.put("/v1/models/pump/aliases/live", json=body)
    assert slug(refused) == (422, "invalid_input")
    assert refused.json()["pointer"] == pointer


@pytest.mark.parametrize("alias", ["3", "3a", "a" * 65, "a@b", "a b", "ä", "-a", "."])
async def test_bad_names_are_refused(served: Served, alias: str) -> None:
    refused = await served.http.put(f"/v1/models/pump/aliases/{alias}", json={"version": 1})
    assert refused.status_code in (404, 405, 422), "a client may remove the dot from the path"
    assert (await served.http.get("/v1/models/pump/aliases")).json()["aliases"][0]["alias"] == "live"


async def test_models_are_listed_by_pages_and_filters(served: Served) -> None:
    for name in ("pump-a", "pump-b", "valve"):
        made = await served.http.post("/v1/models", json={"name": name, "network": version(0)["network"]})
        assert made.status_code == 201, made.text
    described = await served.http.patch(
        "/v1/models/pump@2", json={"tags": ["site:north", "ok"], "description": "zwölf"}
    )
    assert (described.json()["tags"], described.json()["description"]) == (["site:north", "ok"], "zwölf")
    assert (await served.http.patch("/v1/models/valve", json={"tags": ["site:north"]})).is_success
    await move(served, 2)

    async def names(**query: Any) -> list[str]:
        found = (await served.http.get("/v1/models", params=query)).json()
        return [f"{model['name']}:{len(model['versions'])}" for model in found["models"]] + [found["cursor"]]

    assert await names() == ["gru:1", "pump:3", "pump-a:1", "pump-b:1", "valve:1", ""]
    assert await names(limit=2) == ["gru:1", "pump:3", "pump"]
    assert await names(limit=2, cursor="pump") == ["pump-a:1", "pump-b:1", "pump-b"]
    assert await names(limit=2, cursor="pump-b") == ["valve:1", ""]
    assert await names(prefix="pump") == ["pump:3", "pump-a:1", "pump-b:1", ""]
    assert await names(tag="site:north") == ["pump:1", "valve:1", ""]
    assert await names(tag="site:north", prefix="v") == ["valve:1", ""]
    assert await names(alias="live") == ["pump:1", ""]
    assert await names(alias="live", tag="never") == [""]
    for query in ({"prefix": "a/b"}, {"tag": "a b"}, {"alias": "3"}, {"limit": 0}, {"cursor": "ä"}):
        assert slug(await served.http.get("/v1/models", params=query)) == (422, "invalid_parameter")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tags": None},
        {"tags": ["a", "a"]},
        {"tags": ["a b"]},
        {"tags": ["a"] * 33},
        {"tags": "a"},
        {"description": "a" * 4097},
        {"description": 3},
        {"name": "a"},
    ],
)
async def test_bad_descriptions_are_refused(served: Served, body: dict[str, Any]) -> None:
    assert slug(await served.http.patch("/v1/models/pump@1", json=body)) == (422, "invalid_input")
    found = (await served.http.get("/v1/models/pump@1")).json()
    assert (found["tags"], found["description"]) == ([], None)


async def test_versions_have_pages(own: Settings) -> None:
    async with serving(own) as served:
        await publish(served, 0.5, 0.25, 0.0, 0.75)
        await move(served, 2)
        await served.http.patch("/v1/models/pump@4", json={"tags": ["good"]})
        assert (await served.http.delete("/v1/models/pump@3")).status_code == 204
        found, cursor = [], None
        while cursor != "":
            page = (
                await served.http.get("/v1/models/pump/versions", params={"limit": 2, "cursor": cursor or ""})
            ).json()
            found += page["versions"]
            cursor = page["cursor"]
            assert len(page["versions"]) <= 2
        assert [(each["model"], each["aliases"], each["tags"]) for each in found] == [
            ("pump@1", [], []),
            ("pump@2", ["live"], []),
            ("pump@4", [], ["good"]),
        ]
        models = (await served.http.get("/v1/models", params={"prefix": "pump"})).json()["models"]
        assert [model["versions"] for model in models if model["name"] == "pump"] == [found]
        assert slug(await served.http.get("/v1/models/nothing/versions")) == (404, "model_unknown")
        for bad in (
            {"cursor": "x"},
            {"cursor": "-1"},
            {"cursor": "9" * 16},
            {"limit": 0},
            {"limit": 1001},
            {"tag": "a"},
        ):
            assert slug(await served.http.get("/v1/models/pump/versions", params=bad)) == (422, "invalid_parameter")
        assert (await served.http.get("/v1/models/pump/versions", params={"cursor": "9" * 15})).json()["versions"] == []
