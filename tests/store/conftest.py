"""A session store on the shared Redis."""

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cellar.store.connect import Address
from cellar.store.link import Link
from cellar.store.sessions import RedisSessions

OpenSessions = Callable[..., RedisSessions]


@pytest.fixture
async def open_sessions() -> AsyncIterator[OpenSessions]:
    """Yield a maker of session stores under one random prefix: `open_sessions(url, ...)`."""
    prefix = f"test-{secrets.token_hex(6)}"
    opened: list[RedisSessions] = []

    def make(url: str, *, reply_timeout_s: float = 4.0, **options: Any) -> RedisSessions:
        link = Link(Address.parse(url), reply_timeout_s=reply_timeout_s)
        opened.append(RedisSessions(link, prefix=prefix, **options))
        return opened[-1]

    yield make
    for store in opened:
        await store.aclose()


@pytest.fixture
def sessions(redis_url: str, open_sessions: OpenSessions) -> RedisSessions:
    """Return a store on the shared Redis."""
    return open_sessions(redis_url)
