"""Sessions: made, listed, and ended with or without their model."""

import asyncio

import httpx
import pytest
import redis

from cellar.main import create_app
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys

pytestmark = pytest.mark.anyio

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 1}]}


async def make_model(client: httpx.AsyncClient) -> str:
    """Return the version of a model that was made."""
    answer = await client.post("/v1/models", json={"name": "model", "network": NETWORK})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["model"])


async def test_every_session_is_on_one_page(settings: Settings) -> None:
    async with running(create_app(with_own_keys(settings))) as client:
        await make_model(client)
        made = [(await client.post("/v1/sessions", json={"model": "model"})).json()["session"] for _ in range(7)]
        found, cursor, pages = [], "", 0
        while pages == 0 or cursor:
            page = (await client.get("/v1/sessions", params={"cursor": cursor, "limit": 3})).json()
            assert len(page["sessions"]) <= 3
            found += [session["session"] for session in page["sessions"]]
            cursor, pages = page["cursor"], pages + 1
        assert sorted(found) == sorted(made)


async def test_sessions_are_found_by_model_and_by_the_beginning_of_their_name(settings: Settings) -> None:
    async with running(create_app(with_own_keys(settings))) as client:
        for session, model in (("a.1", "model"), ("a.2", "model"), ("b.1", "other")):
            await client.delete(f"/v1/models/{model}?force=true")  # made again, it is its second version
            assert (await client.post("/v1/models", json={"name": model, "network": NETWORK})).status_code == 201
            body = {"session": session, "model": model, "pinned": session == "a.2"}
            assert (await client.post("/v1/sessions", json=body)).status_code == 201
        for wanted, expected in (
            ({}, ["a.1", "a.2", "b.1"]),
            ({"model": "model"}, ["a.1", "a.2"]),
            ({"model": "model@2"}, ["a.2"]),
            ({"pinned": "true"}, ["a.2"]),
            ({"pinned": "false", "model": "model"}, ["a.1"]),
            ({"prefix": "a"}, ["a.1", "a.2"]),
            ({"prefix": "a", "model": "other"}, []),
        ):
            page = (await client.get("/v1/sessions", params=wanted)).json()
            assert (sorted(session["session"] for session in page["sessions"]), page["cursor"]) == (expected, "")


async def test_an_expired_session_leaves_the_list_by_itself(settings: Settings, redis_url: str) -> None:
    own = with_own_keys(settings)
    async with running(create_app(own)) as client:
        await make_model(client)
        await client.post("/v1/sessions", json={"model": "model", "session": "s"})
        with redis.Redis.from_url(redis_url) as raw:
            assert raw.pexpire(f"{own.key_prefix}:{{default/s}}", 0)
            buckets = f"{own.key_prefix}:default:sessions:*"
            async with asyncio.timeout(60):
                while list(raw.scan_iter(buckets)):  # noqa: ASYNC110  # the sweep sets no event
                    await asyncio.sleep(0.05)
        assert (await client.get("/v1/sessions/s")).status_code == 410


async def test_the_model_of_a_session_may_go(settings: Settings) -> None:
    own = with_own_keys(settings)
    async with running(create_app(own)) as client, running(create_app(own)) as other:
        first = await make_model(client)
        await client.post("/v1/sessions", json={"model": "model", "session": "s"})
        await client.post("/v1/sessions/s/step", json={"input": [1]})
        assert (await client.delete("/v1/models/model?force=true")).status_code == 204
        assert (await client.get("/v1/sessions/s")).json()["model"] == first
        second = await make_model(client)
        assert (first, second) == ("model@1", "model@2")
        late = await other.post("/v1/sessions/s/step", json={"input": [1]})
        assert (late.status_code, late.json()["type"]) == (410, "urn:cellar:problem:model_deleted")
        assert (await client.get("/v1/models/model@1")).status_code == 404
        assert (await client.delete("/v1/sessions/s")).status_code == 204
        for _ in range(2):
            assert (await client.delete("/v1/sessions/s")).status_code == 404


async def test_the_last_request_of_a_writer_can_be_read(settings: Settings) -> None:
    async with running(create_app(with_own_keys(settings))) as client:
        await make_model(client)
        await client.post("/v1/sessions", json={"session": "s", "model": "model"})
        unknown = (await client.get("/v1/sessions/s/writers/gauge")).json()
        assert (unknown["seq"], unknown["step"]) == (0, 0)
        for seq in (1, 2):
            await client.post("/v1/sessions/s/step", json={"input": [1], "writer": "gauge", "seq": seq})
        answer = await client.post("/v1/sessions/s/step", json={"input": [1], "writer": "other", "seq": 1})
        found = (await client.get("/v1/sessions/s/writers/gauge")).json()
        position = answer.json()["position"]
        assert found == {"session": "s", "writer": "gauge", "seq": 2, "step": 3, "position": position}
        missing = (await client.get("/v1/sessions/none/writers/gauge")).json()
        assert missing["type"] == "urn:cellar:problem:session_unknown"
