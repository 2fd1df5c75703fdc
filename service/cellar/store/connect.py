"""From a URL to a Redis, and from what Redis says to Cellar's errors: shared by every store.

redis-py's own retries are off everywhere: its default sends a command again up to ten times, and a command that may
have been applied must only be sent again by code that knows how to recognise it.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.asyncio.connection import SSLConnection
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from cellar.errors import Outcome, SettingsInvalid, StoreCorrupt, StoreUnavailable

CONNECT_TIMEOUT_S = 2.0
"""A Redis worth having answers a connect in milliseconds; the caller of a request waits for this."""

REPLY_TIMEOUT_S = 4.0
"""Longer than a slow fsync, shorter than a client's patience."""

REFUSALS = {
    "OOM": "Redis is at its memory limit",
    "READONLY": "Redis is a read-only replica",
    "MISCONF": "Redis cannot persist its data and refuses writes",
    "NOREPLICAS": "Redis has too few replicas and refuses writes",
    "LOADING": "Redis is loading its data",
    "BUSY": "Redis is busy with a long script",
    "MASTERDOWN": "Redis has lost its primary",
    "CLUSTERDOWN": "the Redis cluster is down",
    "TRYAGAIN": "Redis is moving the slot",
    "NOAUTH": "Redis asks for a password",
    "WRONGPASS": "Redis refuses the password",
    "NOPERM": "the Redis user may not run this command",
    "ERR max number of clients": "Redis has no connection to spare",
}
"""Error codes by which Redis says that it has applied nothing. A script's error has the code inside its text."""

_REFUSAL = re.compile("(?:^|[-\\s])(" + "|".join(REFUSALS) + r")\b")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is and how to speak to it: `path` for a unix socket, else `host` and `port`."""

    host: str
    port: int
    path: str | None
    db: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read `redis://`, `rediss://` or `unix://` with redis-py's own rules. Raise SettingsInvalid."""
        try:
            found = parse_url(url)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        except ValueError as error:
            raise SettingsInvalid(f"not a Redis URL: {error}") from None
        if url.startswith("unix://") and not found.get("path"):
            raise SettingsInvalid("a unix:// URL names the path of a socket")
        return cls(
            host=str(found.get("host", "localhost")),
            port=int(found.get("port", 6379)),
            path=found.get("path"),
            db=int(found.get("db", 0)),
            username=found.get("username"),
            password=found.get("password"),
            tls=_tls(found) if url.startswith("rediss://") else None,
        )

    def __str__(self) -> str:
        """Return the address without its secrets, for messages."""
        return self.path if self.path is not None else f"{self.host}:{self.port}"


def _tls(found: dict[str, Any]) -> ssl.SSLContext:
    """Return what redis-py itself makes of the `ssl_...` options of a URL. Raise SettingsInvalid."""
    options = {name: value for name, value in found.items() if name.startswith("ssl_")}
    try:
        return SSLConnection(**options).ssl_context.get()
    except (redis.RedisError, OSError, TypeError, ValueError) as error:
        raise SettingsInvalid(f"options of the Redis URL for TLS: {error}") from None


def sync_client(url: str) -> "redis.Redis":
    """Return a client that never sends a command twice; answers are bytes. Raise SettingsInvalid."""
    Address.parse(url)
    return redis.Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=REPLY_TIMEOUT_S,
        protocol=2,
    )


def refusal_code(message: str) -> str | None:
    """Return the key of REFUSALS by which Redis refused a command whole, None for any other answer."""
    match = _REFUSAL.search(message)
    return match.group(1) if match else None


def refusal(message: str) -> StoreUnavailable | None:
    """Return the error for an answer by which Redis refused a command whole, None for any other answer."""
    code = refusal_code(message)
    return StoreUnavailable(REFUSALS[code], outcome="not_applied") if code else None


def lost(outcome: Outcome) -> StoreUnavailable:
    """Return the error for a Redis that cannot be reached or has not answered."""
    return StoreUnavailable("Redis is not answering", outcome=outcome)


@contextmanager
def redis_errors(*, outcome: Outcome = "not_applied") -> Iterator[None]:
    """Turn what redis-py raises into StoreUnavailable (or StoreCorrupt, where a key is not what it should be).

    `outcome` is what a connection lost in the middle means for the commands inside: reads change nothing and keep
    the default; writes that cannot be sent again pass "unknown".
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise refusal(_message(error)) or lost(outcome) from error
    except redis.RedisError as error:
        raise refusal(_message(error)) or StoreCorrupt(f"unexpected answer from Redis: {error}") from error


def _message(error: redis.RedisError) -> str:
    # redis-py cuts the code off the text of the errors that it knows and keeps it beside
    return f"{error.status_code} {error}" if error.status_code else str(error)
