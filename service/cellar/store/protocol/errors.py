"""Translates errors and timeouts of Redis to Cellar's errors, for all stores."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.exceptions import RedisClusterException

from cellar.errors import Outcome, StoreCorrupt, StoreUnavailable

CONNECT_TIMEOUT_S = 2.0
"""Timeout of connecting. A healthy Redis accepts a connection in milliseconds, and requests wait meanwhile."""

REPLY_TIMEOUT_S = 4.0
"""Timeout of a reply: longer than a slow fsync, shorter than the timeout of a typical HTTP client."""

FULL = "ERR max number of clients"
"""The error that a Redis without a free connection sends before it closes a new one."""

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
    "NOPERM": "the Redis user may not touch a key or channel of this command",
    "ACL failure": "the Redis user may not run a command of this script",
    "can't run this command": "the Redis user may not run a command of this script",
    "can't access at least one of the keys": "the Redis user may not touch a key of this script",
    FULL: "Redis has no connection to spare",
}
"""Error codes of commands that were not applied, and what they mean. An error of a script has the code in its text."""

PASSING = {"READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"}
"""Refusals that end within seconds when another server takes over or slots have moved."""

_DENIED = re.compile(r"permissions to run the '([\w|-]+)' command")
"""The command in an error with the code NOPERM, if the user may not run it at all."""

_REFUSAL = re.compile("(?:^|[-\\s])(" + "|".join(REFUSALS) + r")\b")


def refusal_code(message: str) -> str | None:
    """Return the key of REFUSALS in an error of Redis, None for any other error."""
    match = _REFUSAL.search(message)
    return match.group(1) if match else None


def refusal(message: str) -> StoreUnavailable | None:
    """Return the StoreUnavailable for an error with a code in REFUSALS, None for any other error."""
    code = refusal_code(message)
    if code is None:
        return None
    denied = _DENIED.search(message) if code == "NOPERM" else None
    reason = f"the Redis user may not run {denied[1].upper()}" if denied else REFUSALS[code]
    return StoreUnavailable(reason, outcome="not_applied")


def lost(outcome: Outcome) -> StoreUnavailable:
    """Return the error of a Redis that cannot be reached or has not answered."""
    return StoreUnavailable("Redis is not answering", outcome=outcome, is_lost=True)


@contextmanager
def redis_errors(*, outcome: Outcome = "not_applied") -> Iterator[None]:
    """Turn errors of redis-py into StoreUnavailable, or into StoreCorrupt for a key with an unexpected value.

    `outcome` is that of the commands inside if the connection is lost: reads change nothing and keep the default;
    writes that may not be repeated pass "unknown".
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        # redis-py wraps the READONLY error of a server that Sentinel named as primary in an error of its own
        said = error.__context__ if isinstance(error.__context__, redis.ReadOnlyError) else error
        raise refusal(_message(said)) or lost(outcome) from error
    except RedisClusterException as error:  # no node can be reached, or none serves the slot
        raise lost(outcome) from error
    except redis.RedisError as error:
        raise refusal(_message(error)) or StoreCorrupt(f"unexpected answer from Redis: {error}") from error


def _message(error: redis.RedisError) -> str:
    # redis-py removes the code from the text of errors that it knows, and keeps it in `status_code`
    return f"{error.status_code} {error}" if error.status_code else str(error)
