"""Clients that send `Cellar-Route` get the name of the owner or a redirect to it; other answers do not change."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from cellar.api.middleware.node_routing import NodeRouting, Nodes
from cellar.sessions.forwarding.ownership import bucket_of, owners_of

pytestmark = pytest.mark.anyio

NODES = ("http://a:1", "http://b:2", "https://c")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request."""
    await PlainTextResponse("done")(scope, receive, send)


async def asked(path: str, own: str = NODES[0], **headers: str) -> httpx.Response:
    """Return the answer of a service to a request."""
    transport = httpx.ASGITransport(NodeRouting(app, nodes=Nodes(NODES, own)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def owner(path: str, own: str = NODES[0]) -> str:
    """Return the owner that a service names."""
    return (await asked(path, own, cellar_route="tell")).headers["cellar-owner"]


async def test_all_services_name_the_same_owner_whatever_their_order() -> None:
    paths = [f"/v1/sessions/s-{index}/step" for index in range(100)]
    found = [await owner(path) for path in paths]
    assert [await owner(path, NODES[2]) for path in paths] == found
    assert {node: found.count(node) > 15 for node in NODES} == dict.fromkeys(NODES, True)


def test_the_owner_is_the_one_that_the_docs_compute() -> None:
    text = (Path(__file__).parents[3] / "docs" / "running.md").read_text()
    names: dict[str, Any] = {}
    exec(text[text.index("from hashlib import") : text.index("```\n\nWebSockets and bulk")], names)
    for session in ("s", "pump 7/ä", "x" * 256):
        right = sorted(NODES)[owners_of(tuple(sorted(NODES)))[bucket_of(session)]]
        assert names["owner"](session, [*NODES]) == right


async def test_a_request_is_redirected_to_the_owner_as_it_was_sent() -> None:
    path = "/v1/sessions/site%2F1%20%E2%98%83/step"
    url = f"{path}?step=1&x=%20"
    right = await owner(path)
    for own in NODES:
        answer = await asked(url, own, cellar_route="redirect")
        if own == right:
            assert (answer.status_code, answer.text, answer.headers["cellar-owner"]) == (200, "done", right)
        else:
            assert (answer.status_code, answer.headers["location"]) == (307, right + url)
            assert answer.headers["cellar-owner"] == right


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/steps", "/v1/models/m", "/v1/sessions/%zz/step", "/readyz"])
async def test_a_path_without_a_session_has_no_owner(path: str) -> None:
    answer = await asked(path, cellar_route="redirect")
    assert (answer.status_code, "cellar-owner" in answer.headers) == (200, False)


async def test_other_clients_notice_nothing() -> None:
    for own in NODES:
        answer = await asked("/v1/sessions/s/step", own)
        assert (answer.status_code, "cellar-owner" in answer.headers) == (200, False)
