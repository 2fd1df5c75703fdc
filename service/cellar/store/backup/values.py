"""Values of Redis keys as lists of bytes, which any version of Redis or Valkey can be given back.

`DUMP` would be shorter, but its form is read by servers of the same or a newer version of the same family alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from cellar.errors import StoreCorrupt

KINDS = ("string", "hash", "set", "zset", "list", "stream")

AT_ONCE = 1000
"""Most members in a command that writes some of a large value."""

Command = tuple[Any, ...]


def reading(kind: str, key: bytes) -> list[Command]:
    """Return the commands that read a value, for one transaction."""
    match kind:
        case "string":
            return [("GET", key)]
        case "hash":
            return [("HGETALL", key)]
        case "set":
            return [("SMEMBERS", key)]
        case "zset":
            return [("ZRANGE", key, 0, -1, "WITHSCORES")]
        case "list":
            return [("LRANGE", key, 0, -1)]
        case "stream":
            return [("XRANGE", key, "-", "+"), ("XINFO STREAM", key)]
    raise StoreCorrupt(f"the key {key.decode(errors='replace')} has the type {kind}, which Cellar does not use")


def packed(kind: str, replies: Sequence[Any]) -> list[bytes] | None:
    """Return the value in replies as a list, None for a key that does not exist any longer."""
    value = replies[0]
    match kind:
        case "string":
            return None if value is None else [value]
        case "hash":
            pairs = value.items() if isinstance(value, dict) else zip(value[::2], value[1::2], strict=True)
            return [part for pair in pairs for part in pair] or None
        case "zset":
            return list(value) or None  # members with their scores
        case "stream":
            info = replies[1]
            if isinstance(info, Exception):
                return None
            found = [info["last-generated-id"]]
            for entry, fields in value:
                parts = [part for pair in fields.items() for part in pair]
                found += [entry, str(len(parts)).encode(), *parts]
            return found
    return list(value) or None


def writing(kind: str, key: bytes, value: Sequence[bytes]) -> Iterator[Command]:
    """Yield the commands that write a value to a key that does not exist."""
    match kind:
        case "string":
            yield ("SET", key, value[0])
        case "hash":
            for begin in range(0, len(value), AT_ONCE):
                yield ("HSET", key, *value[begin : begin + AT_ONCE])
        case "set":
            for begin in range(0, len(value), AT_ONCE):
                yield ("SADD", key, *value[begin : begin + AT_ONCE])
        case "list":
            for begin in range(0, len(value), AT_ONCE):
                yield ("RPUSH", key, *value[begin : begin + AT_ONCE])
        case "zset":
            for begin in range(0, len(value), AT_ONCE):
                some = value[begin : begin + AT_ONCE]
                yield ("ZADD", key, *(part for at in range(0, len(some), 2) for part in (some[at + 1], some[at])))
        case "stream":
            yield from _writing_stream(key, value)
        case _:
            raise StoreCorrupt(f"a backup with a value of the type {kind}")


def _writing_stream(key: bytes, value: Sequence[bytes]) -> Iterator[Command]:
    last, at = value[0], 1
    if len(value) == 1:  # all entries were trimmed: what is left is the number of the last one
        yield ("XADD", key, "MAXLEN", 0, last, "-", "-")
    while at < len(value):
        count = int(value[at + 1])
        yield ("XADD", key, value[at], *value[at + 2 : at + 2 + count])
        at += 2 + count
    yield ("XSETID", key, last)
