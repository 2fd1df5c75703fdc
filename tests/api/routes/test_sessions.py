"""Sessions: made, listed, and ended with or without their model."""

import httpx
import pytest

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


async def test_the_model_of_a_session_may_go(settings: Settings) -> None:
    own = with_own_keys(settings)
    async with running(create_app(own)) as client, running(create_app(own)) as other:
        first = await make_model(client)
        await client.post("/v1/sessions", json={"model": "model", "session": "s"})
        await client.post("/v1/sessions/s/step", json={"input": [1]})
        assert (await client.delete("/v1/models/model")).status_code == 204
        assert (await client.get("/v1/sessions/s")).json()["model"] == first
        second = await make_model(client)
        assert (first, second) == ("model@1", "model@2")
        late = await other.post("/v1/sessions/s/step", json={"input": [1]})
        assert (late.status_code, late.json()["type"]) == (404, "urn:cellar:problem:model_unknown")
        assert (await client.get("/v1/models/model@1")).status_code == 404
        assert (await client.delete("/v1/sessions/s")).status_code == 204
        for _ in range(2):
            assert (await client.delete("/v1/sessions/s")).status_code == 404
