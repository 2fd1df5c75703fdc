"""What the connected Redis really gives: asked of every primary, since sessions may lie on any of them."""

from typing import Any

from cellar.errors import CellarError, StoreUnavailable
from cellar.store.exchange import Answer, Exchange
from cellar.store.replies import raw
from cellar.store.resp import Reply
from cellar.store.route import Route

PATIENCE_S = 1.0
"""Whoever looks looks again; one that waits for a failover says nothing meanwhile."""

WORST_FIRST = ("none", "unknown", "no", "everysec", "always")


async def look(route: Route, probe: bytes) -> dict[str, Any]:
    """Return what the servers give; raise StoreUnavailable if one of them could not keep sessions now.

    `probe` is a key that may be written. `durability` is `always`, `everysec` or `no` (the fsync policy of the
    append-only file), `none` without such a file, `unknown` where the server does not tell. Of several primaries the
    worst counts; `primaries` says how many there are, `replicas` how many the one with the fewest has.
    """
    told = [await _ask(primary, key) for primary, key in await route.primaries(probe)]
    if not told:
        raise StoreUnavailable("the Redis cluster has no primary with slots")
    return {
        "redis_version": min((each["redis_version"] for each in told), key=_version),
        "durability": min((each["durability"] for each in told), key=WORST_FIRST.index),
        "maxmemory_policy": next(
            (each["maxmemory_policy"] for each in told if each["maxmemory_policy"] != "noeviction"), "noeviction"
        ),
        "primaries": len(told),
        "replicas": min(each["replicas"] for each in told),
    }


async def _ask(primary: Route, probe: bytes) -> dict[str, Any]:
    """Return what one server says. What refuses a write says why."""
    info, config, wrote = await Exchange(primary, (), patience_s=PATIENCE_S).insist(
        [(b"INFO",), (b"CONFIG", b"GET", b"appendfsync"), (b"SET", probe, b"", b"PX", b"1000")]
    )
    _reply(wrote)
    told = dict(line.split(":", 1) for line in raw(_reply(info)).decode().splitlines() if ":" in line)
    eviction = told.get("maxmemory_policy", "noeviction")
    if eviction != "noeviction" and told.get("maxmemory", "0") != "0":
        raise StoreUnavailable(
            f"Redis evicts keys when its memory is full (maxmemory-policy {eviction}), sessions among them",
            outcome="not_applied",
        )
    policy = config.reply if isinstance(config.reply, list) else []  # some servers keep it to themselves
    durability = raw(policy[1]).decode() if len(policy) > 1 else "unknown"
    return {
        "redis_version": told.get("redis_version", "unknown"),
        "durability": durability if told.get("aof_enabled") == "1" else "none",
        "maxmemory_policy": told.get("maxmemory_policy", "unknown"),
        "replicas": int(told.get("connected_slaves", "0")),
    }


def _reply(answer: Answer) -> Reply:
    if isinstance(answer.reply, CellarError):
        raise answer.reply
    return answer.reply


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
