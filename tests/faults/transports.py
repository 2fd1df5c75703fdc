"""The ways in which a request reaches a session. It is the same request whichever it takes, also from try to try."""

import gzip
import io
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from tests.faults.asked import Asked, Refused, Told

JSON, NPY = "application/json", "application/x-npy"

Transport = Callable[[httpx.AsyncClient, str, Asked], Awaitable[Told]]
"""Asks at the URL of a session. Raises httpx.TransportError if the answer did not come whole, or Refused."""


async def json(client: httpx.AsyncClient, session: str, asked: Asked) -> Told:
    """Ask in JSON."""
    return await _post(client, session, asked, _document(asked), {"Content-Type": JSON})


async def gzipped(client: httpx.AsyncClient, session: str, asked: Asked) -> Told:
    """Ask in JSON that is compressed."""
    body = gzip.compress(_document(asked), 1)
    return await _post(client, session, asked, body, {"Content-Type": JSON, "Content-Encoding": "gzip"})


async def npy(client: httpx.AsyncClient, session: str, asked: Asked) -> Told:
    """Ask with an npy file, and be answered with one."""
    return await _post(client, session, asked, _npy(asked), {"Content-Type": NPY, "Accept": NPY}, asked.identity)


async def npy_for_json(client: httpx.AsyncClient, session: str, asked: Asked) -> Told:
    """Ask with an npy file, and be answered in JSON."""
    return await _post(client, session, asked, _npy(asked), {"Content-Type": NPY}, asked.identity)


ALL: tuple[Transport, ...] = (json, gzipped, npy, npy_for_json)


def _document(asked: Asked) -> bytes:
    inputs = {"inputs": [[x] for x in asked.values]} if asked.sequence else {"input": list(asked.values)}
    return orjson.dumps(inputs | asked.identity)


def _npy(asked: Asked) -> bytes:
    inputs = np.array(asked.values, np.float32)
    file = io.BytesIO()
    np.save(file, inputs[:, None] if asked.sequence else inputs)
    return file.getvalue()


async def _post(
    client: httpx.AsyncClient,
    session: str,
    asked: Asked,
    body: bytes,
    headers: dict[str, str],
    query: dict[str, Any] | None = None,
) -> Told:
    if asked.key is not None:
        headers = headers | {"Idempotency-Key": asked.key}
    url = f"{session}/{'sequence' if asked.sequence else 'step'}"
    answer = await client.post(url, content=body, headers=headers, params=query)
    if answer.status_code != httpx.codes.OK:
        raise Refused(answer.status_code, orjson.loads(answer.content))
    replayed = answer.headers.get("Idempotent-Replayed") == "true"
    if answer.headers["Content-Type"] == NPY:
        return Told(_bits(np.load(io.BytesIO(answer.content))), answer.headers["Cellar-Position"], replayed)
    told = orjson.loads(answer.content)
    outputs = np.array(told["outputs" if asked.sequence else "output"], np.float64)
    return Told(_bits(outputs), told["position"], replayed)


def _bits(outputs: NDArray[Any]) -> bytes:
    exact = outputs.astype("<f4")
    assert (exact == outputs).all(), f"not float32: {outputs}"
    return exact.tobytes()
