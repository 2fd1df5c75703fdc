"""Clients of an application in the same process."""

from collections.abc import AsyncIterator

import httpx
from starlette.types import ASGIApp


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    """Return a client of an application."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def in_pieces(body: bytes, size: int = 10) -> AsyncIterator[bytes]:
    """Yield a body that is sent chunked, without a length."""
    for start in range(0, len(body), size):
        yield body[start : start + size]
