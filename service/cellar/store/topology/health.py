"""Checks every primary: that it can keep sessions now, and how durable it is."""

import logging
from typing import Any

from cellar.errors import CellarError, StoreUnavailable
from cellar.store.connection import requirements, rights
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.protocol.resp import raw

PATIENCE_S = 1.0
"""How long a check is retried: short, because checks are repeated and a failover should be reported meanwhile."""

CHECK_INTERVAL_S = 10.0
"""How often a running service is checked."""

WORST_FIRST = ("none", "unknown", "no", "everysec", "always")


MEMORY = "memory"
"""The fact that is no guarantee, and changes all the time."""

logger = logging.getLogger(__name__)


async def check(router: Router, probe: bytes) -> dict[str, Any]:
    """Return version and durability of the servers. Raise StoreUnavailable if one of them cannot keep sessions now.

    `probe` is a key that may be written. `durability` is `always`, `everysec` or `no` (the fsync policy of the
    append-only file), `none` without such a file, `unknown` if the server does not tell. Values are those of the worst
    primary; `primaries` is their number, `replicas` the smallest number of replicas that one of them has. MEMORY are
    the used memory and its limit of the fullest primary, bytes; a limit of 0 is none.
    """
    found = [await _ask(primary, key) for primary, key in await router.primaries(probe)]
    if not found:
        raise StoreUnavailable("the Redis cluster has no primary with slots")
    return {
        "redis_version": min((each["redis_version"] for each in found), key=requirements.version),
        "durability": min((each["durability"] for each in found), key=WORST_FIRST.index),
        "maxmemory_policy": next(
            (each["maxmemory_policy"] for each in found if each["maxmemory_policy"] != "noeviction"), "noeviction"
        ),
        "primaries": len(found),
        "replicas": min(each["replicas"] for each in found),
        MEMORY: max((each[MEMORY] for each in found), key=_filled),
    }


async def _ask(primary: Router, probe: bytes) -> dict[str, Any]:
    """Return version, durability and number of replicas of one server. Raise StoreUnavailable."""
    info, config, may, wrote = await RetryingClient(primary, patience_s=PATIENCE_S).execute(
        [(b"INFO",), (b"CONFIG", b"GET", b"appendfsync"), rights.ask(probe), (b"SET", probe, b"", b"PX", b"1000")]
    )
    if (reason := rights.missing(may.result())) is not None:
        primary.drop()  # a new connection is checked first, so steps are refused as well
        raise StoreUnavailable(reason, outcome="not_applied")
    wrote.result()
    facts = requirements.facts(info.result())
    try:
        requirements.check(facts)
    except StoreUnavailable:
        primary.drop()  # a new connection is checked first, so steps are refused as well
        raise
    policy = config.reply if isinstance(config.reply, list) else []  # some servers forbid CONFIG
    durability = raw(policy[1]).decode() if len(policy) > 1 else "unknown"
    return {
        "redis_version": facts.get("redis_version", "unknown"),
        "durability": durability if facts.get("aof_enabled") == "1" else "none",
        "maxmemory_policy": facts.get("maxmemory_policy", "unknown"),
        "replicas": int(facts.get("connected_slaves", "0")),
        MEMORY: (int(facts.get("used_memory", "0")), int(facts.get("maxmemory", "0"))),
    }


def _filled(memory: tuple[int, int]) -> float:
    """Return how full a server is, as the share of its limit; 0.0 without one."""
    used, limit = memory
    return used / limit if limit else 0.0


async def agree(client: RetryingClient, key: bytes, window: int) -> None:
    """Store the window of this process under `key`, and log a warning if the process before stored another one.

    It is no error, because during a rolling change of the setting processes have different windows. If Redis cannot be
    reached or refuses the command, nothing is logged, and the next process that starts checks again.
    """
    (answer,) = await client.execute([(b"SET", key, b"%d" % window, b"GET")])
    if answer.reply is None or isinstance(answer.reply, CellarError):
        return
    other = raw(answer.reply).decode()
    if other != str(window):
        logger.warning(
            "CELLAR_REPLAY_WINDOW is %d here, and was %s in the process that started before on this Redis: while there"
            " are processes with either, repeated requests may be answered 409 replay_expired",
            window,
            other,
        )
