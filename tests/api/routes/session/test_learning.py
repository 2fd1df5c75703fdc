"""Sessions that learn from targets which come later: each once, and with everything else that sessions do."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}, {"type": "dense", "out_size": 1}],
}
LEARNING = {"type": "rls", "forgetting": 0.99, "ridge": 0.01, "window": 4}


@pytest.fixture(scope="module", autouse=True)
async def model(client: httpx.AsyncClient) -> None:
    """Create the model, and one whose last layer cannot be learnt."""
    assert (await client.post("/v1/models", json={"name": "m", "network": NETWORK})).status_code == 201
    bent = NETWORK | {"layers": [{"type": "dense", "out_size": 1, "activation": "tanh"}]}
    assert (await client.post("/v1/models", json={"name": "bent", "network": bent})).status_code == 201


class Session:
    """A session that learns."""

    def __init__(self, client: httpx.AsyncClient, name: str) -> None:
        self.client, self.name = client, name

    async def begin(self, model: str = "m@1", **options: Any) -> "Session":
        """Create it."""
        body = {"session": self.name, "model": model, "learning": LEARNING, **options}
        answer = await self.client.post("/v1/sessions", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["learning"] == LEARNING
        return self

    async def ask(self, path: str, status: int = 200, **body: Any) -> Any:
        """Return the answer to a request that changes it, which must have this status."""
        answer = await self.client.post(f"/v1/sessions/{self.name}/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json() | {"replayed": answer.headers.get("idempotent-replayed")}

    async def step(self, *inputs: float) -> list[float]:
        """Step it, and return the outputs."""
        return [(await self.ask("step", input=[value]))["output"][0] for value in inputs]

    async def learn(self, step: int, *targets: float, status: int = 200, **more: Any) -> Any:
        """Give targets of steps."""
        return await self.ask("targets", status, step=step, targets=[[value] for value in targets], **more)

    async def learnt(self) -> dict[str, Any]:
        """Return what it has learnt."""
        answer = await self.client.get(f"/v1/sessions/{self.name}/learning")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def layers(self) -> Any:
        """Return its state."""
        return (await self.client.get(f"/v1/sessions/{self.name}/state")).json()["layers"]


async def test_each_target_is_learnt_once(client: httpx.AsyncClient) -> None:
    s = await Session(client, "once").begin()
    assert (await s.learnt())["updates"] == 0
    await s.step(1, 2, 3)
    first = await s.learn(1, 0.5, 0.7)
    assert (first["step"], first["replayed"]) == (3, None)
    state = await s.layers()
    for again in (await s.learn(1, 0.5, 0.7), await s.learn(2, 0.7)):
        assert again == {"step": 3, "position": first["position"], "replayed": "true"}
    assert (await s.learn(1, 0.6, status=409))["type"] == "urn:cellar:problem:step_taken"
    assert (await s.learn(3, 0.6, status=409))["type"] == "urn:cellar:problem:regressed"
    assert await s.layers() == state
    found = await s.learnt()
    assert (found["updates"], found["waiting"], found["first"], found["position"]) == (2, 1, 0, first["position"])
    assert found["delta_norm"] > 0
    mixed = await s.learn(0, 0.1, 0.5)
    assert (mixed["replayed"], (await s.learnt())["updates"]) == (None, 3), "one of the two is new"
    await s.step(4, 5)
    assert (await s.learn(0, 0.1, status=409))["type"] == "urn:cellar:problem:replay_expired"


async def test_steps_and_targets_are_recognised_by_their_identities(client: httpx.AsyncClient) -> None:
    s = await Session(client, "identified").begin()
    one = await s.ask("step", input=[1], step=0)
    key = {"Idempotency-Key": "k"}
    body = {"step": 0, "targets": [[2]], "epoch": one["position"][:16]}
    answers = [await client.post("/v1/sessions/identified/targets", json=body, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"
    two = await s.ask("step", input=[2], step=1)
    assert await s.ask("step", input=[2], step=1) == two | {"replayed": "true"}, "the targets are at step 1 as well"
    assert (await s.ask("step", 409, input=[3], position=one["position"]))["position"] == two["position"]
    at = await s.learn(1, 3, position=two["position"])
    assert await s.learn(1, 3, position=two["position"]) == at | {"replayed": "true"}
    assert (await s.learn(1, 3, status=409, epoch="0" * 16))["type"] == "urn:cellar:problem:epoch_changed"


async def test_what_is_learnt_goes_with_the_session(client: httpx.AsyncClient) -> None:
    s = await Session(client, "carried").begin(log=100, history=3)
    await s.step(1, 2)
    await s.learn(0, 3, 4)
    there = (await s.learnt())["position"]
    await s.ask("snapshots", 201, snapshot="here")
    await s.ask("fork", names=["carried-child"])
    outputs = await s.step(5, 6)
    child = Session(client, "carried-child")
    assert await child.step(5, 6) == outputs
    await child.learn(1, 9)
    assert (await child.learn(1, 9))["replayed"] == "true"
    await s.ask("restore", snapshot="here")
    assert await s.step(5, 6) == outputs
    await s.learn(0, 7)
    await s.learn(1, 8)
    await s.ask("rewind", to=there)
    assert await s.step(5, 6) == outputs, "the log has the targets"
    same = await s.ask("replay", model="m@1")
    assert same["differences"]["largest"] == 0
    await s.ask("replay", 201, model="m@1", session="carried-again")
    assert await Session(client, "carried-again").layers() == await s.layers()
    kinds = [entry["kind"] for entry in (await client.get("/v1/sessions/carried/log")).json()["entries"]]
    assert kinds.count("learn") == 3
    layers = await s.layers()
    written = await Session(client, "written").begin()
    answer = await client.put("/v1/sessions/written/state", json={"layers": layers})
    assert answer.status_code == 200, answer.text
    assert await written.step(7) == await s.step(7)


async def test_a_reset_keeps_what_was_learnt_and_the_base_is_one_request_away(client: httpx.AsyncClient) -> None:
    s, plain = await Session(client, "reset").begin(), Session(client, "plain")
    await client.post("/v1/sessions", json={"session": "plain", "model": "m@1"})
    base = await plain.step(1, 2)
    assert await s.step(1, 2) == base
    await s.learn(0, 3, 4)
    await s.ask("reset")
    learnt = await s.step(1)
    assert learnt != base[:1]
    assert (await s.ask("step", input=[1], reset=True))["output"] == learnt
    assert (await s.learnt())["updates"] == 2
    before = (await s.learnt())["position"]
    after = await s.ask("learning/reset", position=before)
    assert (after["step"], after["position"] != before) == (2, True)
    assert await s.ask("learning/reset", position=before) == after | {"replayed": "true"}
    assert (await s.learnt())["updates"] == 0
    assert await s.step(2) == base[1:], "the hidden state stayed"
    assert (await plain.learn(0, 1, status=409))["type"] == "urn:cellar:problem:not_kept"


async def test_what_was_learnt_is_published_and_begins_anew_on_another_version(client: httpx.AsyncClient) -> None:
    s = await Session(client, "published").begin()
    await s.ask("learning/publish", 409)
    outputs = await s.step(1, 2)
    await s.learn(0, 3, 4)
    made = await s.ask("learning/publish", 201)
    assert (made["parent"], made["model"]) == ("m@1", f"m@{made['version']}")
    assert made["metrics"]["loss"] == pytest.approx(
        sum((a - b) ** 2 for a, b in zip(outputs, (3, 4), strict=True)) / 2, rel=0.02
    )
    assert (await s.ask("learning/publish", 201))["model"] == made["model"]
    await s.ask("reset")
    mine = await s.step(1, 2)
    await client.put("/v1/models/m/aliases/live", json={"version": made["version"]})
    follower = await Session(client, "follower").begin("m@live")
    assert await follower.step(1, 2) == pytest.approx(mine, rel=1e-5)
    await follower.learn(0, 1)
    await client.put("/v1/models/m/aliases/live", json={"version": 1})
    await follower.step(3)
    assert (await follower.learnt())["updates"] == 0, "it belongs to the version that has learnt it"
    await s.ask("migrate", model=made["model"])
    assert (await s.learnt())["updates"] == 0


async def test_weights_that_are_learnt_by_gradient_descent_do_the_same(client: httpx.AsyncClient) -> None:
    bptt = {"type": "bptt", "learning_rate": 0.1, "clip_norm": 1.0, "window": 6, "layers": None}
    body = {
        "session": "deep",
        "model": "m@1",
        "log": 100,
        "learning": {"type": "bptt", "learning_rate": 0.1, "window": 6},
    }
    assert (await client.post("/v1/sessions", json=body)).json()["learning"] == bptt
    s, plain = Session(client, "deep"), Session(client, "deep-plain")
    await client.post("/v1/sessions", json={"session": "deep-plain", "model": "m@1"})
    assert await s.step(1, 2) == await plain.step(1, 2)
    first = await s.learn(0, 0.5, 0.7)
    assert await s.learn(0, 0.5, 0.7) == first | {"replayed": "true"}
    there = (await s.learnt())["position"]
    await s.ask("fork", names=["deep-child"])
    outputs = await s.step(3, 4)
    assert await Session(client, "deep-child").step(3, 4) == outputs != await plain.step(3, 4)
    await s.learn(3, 0.1)
    await s.ask("rewind", to=there)
    assert await s.step(3, 4) == outputs
    assert (await s.ask("replay", model="m@1"))["differences"]["largest"] == 0
    await s.ask("reset")
    fresh = await s.step(1, 2)
    made = await s.ask("learning/publish", 201)
    await client.post("/v1/sessions", json={"session": "deep-published", "model": made["model"]})
    assert await Session(client, "deep-published").step(1, 2) == pytest.approx(fresh, rel=1e-5)
    layers = [{"layer": 0, "h": [[0, 0, 0]]}]
    assert (await client.put("/v1/sessions/deep/state", json={"layers": layers})).status_code == 200
    assert (await s.learnt())["waiting"] == 0, "no step led to this state"
    assert await s.step(1, 2) == fresh
    await s.ask("learning/reset")
    await s.ask("reset")
    await plain.ask("reset")
    assert await s.step(1, 2) == await plain.step(1, 2)


async def test_a_session_whose_model_was_deleted_shows_what_it_has_learnt(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/models", json={"name": "gone", "network": NETWORK})).status_code == 201
    s = await Session(client, "orphan").begin("gone")
    await s.step(1)
    await s.learn(0, 3)
    before = await s.layers()
    assert (await client.delete("/v1/models/gone?force=true")).status_code == 204
    assert await s.layers() == before
    assert (await client.get("/v1/sessions/orphan/learning")).status_code == 410
    await s.ask("migrate", model="m@1")
    assert (await s.learnt())["updates"] == 0
    await s.step(2)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"model": "m", "batch_size": 2, "learning": LEARNING}, "/batch_size"),
        ({"model": "bent", "learning": LEARNING}, "/learning"),
        ({"model": "m", "learning": {"type": "rls", "window": 4000, "forgetting": 0.1}}, "/learning/forgetting"),
        ({"model": "m", "learning": {"type": "sgd"}}, "/learning/type"),
    ],
)
async def test_learning_that_cannot_be_is_refused(client: httpx.AsyncClient, body: Any, pointer: str) -> None:
    answer = await client.post("/v1/sessions", json=body)
    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer), answer.text


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"step": 0, "targets": [[1, 2]]}, "/targets"),
        ({"step": 0, "targets": [["1"]]}, "/targets/0/0"),
        ({"step": 0, "targets": [1]}, "/targets/0"),
        ({"step": 0, "targets": []}, "/targets"),
        ({"step": -1, "targets": [[1]]}, "/step"),
        ({"targets": [[1]]}, "/step"),
    ],
)
async def test_targets_that_cannot_be_are_refused(client: httpx.AsyncClient, body: Any, pointer: str) -> None:
    s = Session(client, "refuses")
    await client.post("/v1/sessions", json={"session": "refuses", "model": "m@1", "learning": LEARNING})
    await s.step(1)
    answer = await s.ask("targets", 422, **body)
    assert answer["pointer"] == pointer, answer
    left_out = await s.ask("sequence", 422, inputs=[[1], None])
    assert left_out["type"] == "urn:cellar:problem:invalid_input"
    assert (await s.learnt())["updates"] == 0


async def test_sessions_that_learn_are_created_in_bulk(client: httpx.AsyncClient) -> None:
    lines = [f'{{"session": "bulk-{n}", "model": "m@1", "learning": {{"type": "rls"}}}}' for n in range(3)]
    answer = await client.post(
        "/v1/sessions/bulk", content="\n".join(lines), headers={"content-type": "application/x-ndjson"}
    )
    assert '"window":64' in answer.text
    s = Session(client, "bulk-1")
    await s.step(1)
    await s.learn(0, 2)
    assert (await s.learnt())["updates"] == 1
