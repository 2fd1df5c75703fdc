"""Steps are answered the same, whether or not they are dispatched before FastAPI."""

import gzip
from typing import Any

import httpx
import numpy as np
import pytest

from cellar.main import create_app
from cellar.settings import Settings
from cellar.wire.arrays import npy
from tests.api.conftest import running, with_own_keys
from tests.api.websocket.conftest import serving

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
KEY = {**JSON, "idempotency-key": "one"}

NPY = {"content-type": npy.MEDIA_TYPE}
ONE = npy.dump(np.array([1, 2], dtype=np.float32))

REQUESTS: list[tuple[str, bytes, dict[str, str]]] = [
    ("step", b'{"input": [1, 2]}', JSON),
    ("step", b'{"input": [1, 2], "step": 1}', JSON),
    ("step", b'{"input": [1, 2], "step": 1}', JSON),
    ("step", b'{"input": [2, 2], "step": 1}', JSON),
    ("step", b'{"input": [1, 2], "step": 9}', JSON),
    ("step", b'{"input": [1, 2]}', KEY),
    ("step", b'{"input": [1, 2]}', KEY),
    ("step", b'{"input": [2, 2]}', KEY),
    ("step", b'{"input": [1, 2]}', {**JSON, "idempotency-key": ""}),
    ("sequence", b'{"inputs": [[1, 2], [3, 4]]}', JSON),
    ("sequence", b'{"inputs": [[1, 3], [2, 4]], "layout": "FT"}', JSON),
    ("sequence", b'{"inputs": [[1, 2], [3]]}', JSON),
    ("step", b'{"input": [1, "2"]}', JSON),
    ("step", b'{"input": [1, NaN]}', JSON),
    ("step", b'{"input": [1, 2, 3]}', JSON),
    ("step", b'{"input": [1, 2], "stepp": 1}', JSON),
    ("step", b'{"input": [1, 2], "position": "x"}', JSON),
    ("step", b"[]", JSON),
    ("step", b"null", JSON),
    ("step", b"{", JSON),
    ("step", b"", JSON),
    ("step", b'{"input": [1, 2]}', {}),
    ("step", b'{"input": [1, 2]}', {"content-type": "text/plain"}),
    ("step", b" " * 300_000, JSON),
    ("stepp", b'{"input": [1, 2]}', JSON),
    ("step", ONE, NPY),
    ("step?step=x", ONE, NPY),
    ("step?step=7&reset=1", ONE, NPY),
    ("step?layout=TF", ONE, NPY),
    ("step", ONE, {**NPY, "idempotency-key": "two"}),
    ("step", ONE, {**NPY, "idempotency-key": "two"}),
    ("step", b'{"input": [1, 2], "reset": [true, false]}', JSON),
    ("step", b'{"input": [[1, 2]], "reset": true}', {**JSON, "cellar-timeout-ms": "60000"}),
    ("step", b'{"input": [1, 2]}', {**JSON, "cellar-timeout-ms": "0"}),
    ("step", ONE[:-1], NPY),
    ("sequence", npy.dump(np.array([[1, 2], [3, 4]], dtype=np.float32)), NPY),
    ("sequence", b'{"inputs": [[1, 2]]}', {**JSON, "accept": "text/html"}),
    ("step?step=1", b'{"input": [1, 2]}', JSON),
    ("step", gzip.compress(b'{"input": [1, 2]}'), {**JSON, "content-encoding": "gzip"}),
    ("step", b'{"input": [1, 2]}', {**JSON, "content-encoding": "gzip"}),
    ("step", gzip.compress(b" " * 300_000), {**JSON, "content-encoding": "gzip"}),
]


async def answers(client: httpx.AsyncClient) -> list[tuple[int, dict[str, str], Any]]:
    """Return what a service answers to all requests, positions apart, which begin at random."""
    network = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
    found = []
    await client.post("/v1/models", json={"name": "gru", "network": network})
    await client.post("/v1/sessions", json={"session": "s", "model": "gru"})
    for name, content, headers in REQUESTS:
        answer = await client.post(f"/v1/sessions/s/{name}", content=content, headers=headers)
        body = answer.json()
        assert ("position" in body) == (answer.status_code in {200, 409})
        found.append((answer.status_code, headers_of(answer), {**body, "position": ""}))
    return found


def headers_of(answer: httpx.Response) -> dict[str, str]:
    """Return the headers that say something about the body."""
    varying = {"content-length", "date", "x-request-id"}
    return {name: value for name, value in answer.headers.items() if name not in varying}


async def test_all_ways_answer_the_same(settings: Settings) -> None:
    """By the protocol itself, before FastAPI, and by FastAPI."""
    hot, ordinary = create_app(with_own_keys(settings)), create_app(with_own_keys(settings))
    ordinary.user_middleware = [one for one in ordinary.user_middleware if "StepDispatch" not in repr(one)]
    assert len(ordinary.user_middleware) == len(hot.user_middleware) - 1
    async with running(ordinary) as client:
        expected = await answers(client)
    async with running(hot) as client:
        first = await answers(client)
    async with serving(with_own_keys(settings)) as served:
        second = await answers(served.http)
    assert {status for status, _, _ in expected} >= {200, 400, 404, 406, 409, 413, 415, 422}
    for request, *found, want in zip(REQUESTS, first, second, expected, strict=True):
        assert found == [want, want], request
