"""Checks a Redis server: it must be new enough and must not evict keys."""

from collections.abc import Mapping

from cellar.errors import StoreUnavailable
from cellar.store.protocol.resp import Reply, ReplyError, raw

FLOOR = (6, 2)
"""The oldest version that has every command of the scripts."""

ASK = ((b"INFO", b"server"), (b"INFO", b"memory"))
"""Commands whose replies `facts` reads."""


def facts(*replies: Reply) -> dict[str, str]:
    """Return the fields of INFO replies; none of a server that forbids INFO to its user."""
    lines = [
        line for reply in replies if not isinstance(reply, ReplyError) for line in raw(reply).decode().splitlines()
    ]
    return dict(line.split(":", 1) for line in lines if ":" in line)


def unmet(info: Mapping[str, str]) -> str | None:
    """Return a text that says why a Redis with these INFO fields cannot keep sessions, None if it can."""
    if is_too_old(info):
        return f"Redis {info['redis_version']} is too old: 6.2 or newer is needed"
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory", "0") != "0":
        return (
            f"Redis evicts keys when its memory is full (maxmemory-policy {policy}), sessions among them:"
            " set maxmemory-policy noeviction"
        )
    return None


def check(info: Mapping[str, str]) -> None:
    """Raise StoreUnavailable if a Redis with these INFO fields cannot keep sessions."""
    reason = unmet(info)
    if reason is not None:
        raise StoreUnavailable(reason, outcome="not_applied", is_unfit=is_too_old(info))


def is_too_old(info: Mapping[str, str]) -> bool:
    """Return whether a Redis with these INFO fields lacks commands."""
    found = info.get("redis_version", "")
    return bool(found) and version(found) < FLOOR


def version(text: str) -> tuple[int, ...]:
    """Return a version as numbers: "7.2.4" is (7, 2, 4)."""
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
