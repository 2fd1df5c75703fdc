"""How long Redis is waited for, and from what it says to Cellar's errors: shared by every store."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.exceptions import RedisClusterException

from cellar.errors import Outcome, StoreCorrupt, StoreUnavailable

CONNECT_TIMEOUT_S = 2.0
"""A Redis worth having answers a connect in milliseconds; the caller of a request waits for this."""

REPLY_TIMEOUT_S = 4.0
"""Longer than a slow fsync, shorter than a client's patience."""

FULL = "ERR max number of clients"
"""Said to whoever connects, before the connection is closed."""

REFUSALS = {
    "OOM": "Redis is at its memory limit (maxmemory; of the private one CELLAR_REDIS_MAX_MEMORY_BYTES)",
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
    "ACL failure": "the Redis user may not run a command of this script",
    "can't run this command": "the Redis user may not run a command of this script",
    "can't access at least one of the keys": "the Redis user may not touch a key of this script",
    FULL: "Redis has no connection to spare",
}
"""Error codes by which Redis says that it has applied nothing. A script's error has the code inside its text."""

PASSING = {"READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"}
"""Those that end by themselves, within seconds, where one server takes over from another or slots move."""

_REFUSAL = re.compile("(?:^|[-\\s])(" + "|".join(REFUSALS) + r")\b")


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
        # a connection that Sentinel named a primary hides behind its own error that it is one no more
        said = error.__context__ if isinstance(error.__context__, redis.ReadOnlyError) else error
        raise refusal(_message(said)) or lost(outcome) from error
    except RedisClusterException as error:  # no node can be reached, or none serves the slot
        raise lost(outcome) from error
    except redis.RedisError as error:
        raise refusal(_message(error)) or StoreCorrupt(f"unexpected answer from Redis: {error}") from error


def _message(error: redis.RedisError) -> str:
    # redis-py cuts the code off the text of the errors that it knows and keeps it beside
    return f"{error.status_code} {error}" if error.status_code else str(error)
