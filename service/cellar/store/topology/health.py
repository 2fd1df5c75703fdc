"""What the connected Redis really gives: asked of every primary, since sessions may lie on any of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from cellar.errors import StoreUnavailable
from cellar.store.connection import requirements, rights
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.protocol.replies import raw

PATIENCE_S = 1.0
"""Whoever looks looks again; one that waits for a failover says nothing meanwhile."""

LOOK_S = 10.0
"""How often a running service looks."""

WORST_FIRST = ("none", "unknown", "no", "everysec", "always")


logger = logging.getLogger(__name__)


async def keep_looking(look: Callable[[], Awaitable[object]]) -> None:
    """Look until cancelled, and log what is wrong: a Redis may be changed while the service runs."""
    while True:
        try:
            await look()
        except StoreUnavailable as error:
            logger.warning("Redis cannot keep sessions now: %s", error.detail)
        except Exception:
            logger.exception("Redis cannot be looked at")
        await asyncio.sleep(LOOK_S)


async def look(router: Router, probe: bytes) -> dict[str, Any]:
    """Return what the servers give; raise StoreUnavailable if one of them could not keep sessions now.

    `probe` is a key that may be written. `durability` is `always`, `everysec` or `no` (the fsync policy of the
    append-only file), `none` without such a file, `unknown` where the server does not tell. Of several primaries the
    worst counts; `primaries` says how many there are, `replicas` how many the one with the fewest has.
    """
    told = [await _ask(primary, key) for primary, key in await router.primaries(probe)]
    if not told:
        raise StoreUnavailable("the Redis cluster has no primary with slots")
    return {
        "redis_version": min((each["redis_version"] for each in told), key=requirements.version),
        "durability": min((each["durability"] for each in told), key=WORST_FIRST.index),
        "maxmemory_policy": next(
            (each["maxmemory_policy"] for each in told if each["maxmemory_policy"] != "noeviction"), "noeviction"
        ),
        "primaries": len(told),
        "replicas": min(each["replicas"] for each in told),
    }


async def _ask(primary: Router, probe: bytes) -> dict[str, Any]:
    """Return what one server says. What refuses a write says why."""
    info, config, may, wrote = await RetryingClient(primary, patience_s=PATIENCE_S).execute(
        [(b"INFO",), (b"CONFIG", b"GET", b"appendfsync"), rights.ask(probe), (b"SET", probe, b"", b"PX", b"1000")]
    )
    if (reason := rights.missing(may.result())) is not None:
        primary.drop()  # a new connection is asked first, so steps are refused as well
        raise StoreUnavailable(reason, outcome="not_applied")
    wrote.result()
    told = requirements.facts(info.result())
    if (reason := requirements.unmet(told)) is not None:
        primary.drop()  # a new connection is asked first, so steps are refused as well
        raise StoreUnavailable(reason, outcome="not_applied")
    policy = config.reply if isinstance(config.reply, list) else []  # some servers keep it to themselves
    durability = raw(policy[1]).decode() if len(policy) > 1 else "unknown"
    return {
        "redis_version": told.get("redis_version", "unknown"),
        "durability": durability if told.get("aof_enabled") == "1" else "none",
        "maxmemory_policy": told.get("maxmemory_policy", "unknown"),
        "replicas": int(told.get("connected_slaves", "0")),
    }
