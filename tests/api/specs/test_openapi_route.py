"""The OpenAPI document is made once for all who ask, and not on the event loop."""

import asyncio
import threading
from typing import Any

import httpx
import pytest

from cellar.api.specs import openapi

pytestmark = pytest.mark.anyio


async def test_the_document_is_made_once_and_beside_the_event_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    make = openapi.document

    def document() -> dict[str, Any]:
        made.append(threading.get_ident())
        return make()

    monkeypatch.setattr(openapi, "document", document)
    answers = await asyncio.gather(*(client.get("/openapi.json") for _ in range(5)))
    assert len(made) == 1
    assert made[0] != threading.get_ident()
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answers[0].json() == make()
