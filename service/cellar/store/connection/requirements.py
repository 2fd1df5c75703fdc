"""What a Redis must be to keep sessions: new enough, and one that evicts nothing."""

from collections.abc import Mapping

from cellar.store.protocol.replies import raw
from cellar.store.protocol.resp import Reply, ReplyError

FLOOR = (6, 2)
"""The oldest version with every command that the scripts use."""

ASK = ((b"INFO", b"server"), (b"INFO", b"memory"))
"""The commands whose replies tell it."""


def facts(*replies: Reply) -> dict[str, str]:
    """Return the fields of INFO replies. A server that keeps INFO from its user tells nothing."""
    lines = [
        line for reply in replies if not isinstance(reply, ReplyError) for line in raw(reply).decode().splitlines()
    ]
    return dict(line.split(":", 1) for line in lines if ":" in line)


def unmet(info: Mapping[str, str]) -> str | None:
    """Return why a Redis with these INFO fields cannot keep sessions, in words; None if it can."""
    found = info.get("redis_version", "")
    if found and version(found) < FLOOR:
        return f"Redis {found} is too old: 6.2 or newer is needed"
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory", "0") != "0":
        return (
            f"Redis evicts keys when its memory is full (maxmemory-policy {policy}), sessions among them:"
            " set maxmemory-policy noeviction"
        )
    return None


def version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version."""
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
