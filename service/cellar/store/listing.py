"""The listing of a tenant's sessions: 256 sorted sets, read in the order of (bucket, name).

Names are added before the record and once more after it, and a name found without a record is removed and, should
the record have come in between, added again: so a session that exists is always listed, whoever dies when.
"""

import re
from collections.abc import Sequence

from cellar.errors import InvalidInput
from cellar.ports import SessionKey, SessionSummary
from cellar.store.exchange import Exchange
from cellar.store.keys import BUCKETS, SessionKeys
from cellar.store.record import unpack_head
from cellar.store.resp import Command, Reply

SPAN = 32
"""Buckets asked for in one round trip: a tenant with few sessions is listed in eight."""

_CURSOR = re.compile(r"([0-9a-f]{2})([A-Za-z0-9._-]{0,128})")


class Listing:
    """Adds, removes and pages through names."""

    def __init__(self, exchange: Exchange, keys: SessionKeys) -> None:
        self._exchange = exchange
        self._keys = keys

    def add(self, key: SessionKey) -> Command:
        """Return the command that lists a session."""
        return (b"ZADD", self._keys.bucket_of(key), b"0", key.session.encode())

    async def remove(self, dead: Sequence[SessionKey]) -> None:
        """Take names off the list whose record is gone, except where it has come back meanwhile."""
        commands: list[Command] = []
        for key in dead:
            commands.append((b"ZREM", self._keys.bucket_of(key), key.session.encode()))
            commands.append((b"EXISTS", self._keys.record(key)))
        replies = await self._exchange.read(commands)
        back = [key for key, exists in zip(dead, replies[1::2], strict=True) if exists]
        if back:
            await self._exchange.read([self.add(key) for key in back])

    async def page(self, tenant: str, cursor: str, limit: int) -> tuple[list[SessionSummary], str]:
        """Return up to `limit` sessions after `cursor`, and the cursor that continues. Raise InvalidInput."""
        bucket, last = _parse(cursor)
        found: list[SessionSummary] = []
        while bucket < BUCKETS and len(found) < limit:
            names = await self._names(tenant, bucket, last, limit)
            some = names[: limit - len(found)]
            found += await self._summaries([SessionKey(tenant, name) for _, name in some])
            bucket, last = some[-1] if len(some) < len(names) else (bucket + SPAN, "")
        return found, f"{bucket:02x}{last}" if bucket < BUCKETS else ""

    async def _names(self, tenant: str, bucket: int, last: str, limit: int) -> list[tuple[int, str]]:
        """Return the names in a span of buckets, at least `limit` if there are so many, each with its bucket."""
        span = range(bucket, min(bucket + SPAN, BUCKETS))
        replies = await self._exchange.read(
            [
                (b"ZRANGEBYLEX", self._keys.bucket(tenant, number), start, b"+", b"LIMIT", b"0", b"%d" % (limit + 1))
                for number in span
                for start in [b"(" + last.encode() if last and number == bucket else b"-"]
            ]
        )
        return [(number, _text(name)) for number, names in zip(span, replies, strict=True) for name in _list(names)]

    async def _summaries(self, keys: Sequence[SessionKey]) -> list[SessionSummary]:
        if not keys:
            return []
        replies = await self._exchange.read([command for key in keys for command in summary_commands(self._keys, key)])
        found, dead = [], []
        for index, key in enumerate(keys):
            summary = read_summary(key, replies[2 * index : 2 * index + 2])
            if summary is None:
                dead.append(key)
            else:
                found.append(summary)
        if dead:
            await self.remove(dead)
        return found


def summary_commands(keys: SessionKeys, key: SessionKey) -> list[Command]:
    """Return the two commands whose replies `read_summary` reads."""
    record = keys.record(key)
    return [(b"HMGET", record, b"h", b"m"), (b"PTTL", record)]


def read_summary(key: SessionKey, replies: Sequence[Reply]) -> SessionSummary | None:
    """Return the session, None if there is none. Raise StoreCorrupt."""
    (head, meta), left_ms = _list(replies[0]), replies[1]
    if head is None:
        return None
    assert isinstance(head, bytes)
    assert isinstance(meta, bytes)
    assert isinstance(left_ms, int)
    found, position, _ = unpack_head(head, meta)
    return SessionSummary(key, found, position, max(left_ms, 0) / 1000)


def _parse(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor or "00")
    if match is None:
        raise InvalidInput("not a cursor: send back the one that the page before carried", pointer="/cursor")
    return int(match[1], 16), match[2]


def _list(reply: Reply) -> list[Reply]:
    assert isinstance(reply, list)
    return reply


def _text(reply: Reply) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()
