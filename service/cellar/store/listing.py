"""The listing of a tenant's sessions: 256 sorted sets, read in the order of (bucket, name).

A name is added before the record and once more after it, so that every session that is created is listed. Names whose
record has expired go when somebody comes upon them: `page` upon all that it passes, `tidy` upon a few of one bucket.

Names and records lie in different slots of a cluster, so no script can remove a name only if there is no record.
Instead a name is removed after a second look at the record, and added again if a third one finds that the record has
come in between. One gap is left: a session created between the second look and the third is not listed if the process
that looks dies before it adds the name again, until a creation of the same name is tried.
"""

import re
from collections.abc import Sequence

from cellar.errors import InvalidInput
from cellar.ports import SessionKey, SessionSummary
from cellar.store.exchange import Exchange
from cellar.store.keys import BUCKETS, SessionKeys
from cellar.store.record import unpack_head
from cellar.store.replies import items, number, raw, text
from cellar.store.resp import Command, Reply

SPAN = 32
"""Buckets asked for in one round trip: a tenant with few sessions is listed in eight."""

LOOKED_AT = 4
"""Names that `tidy` looks at: once for each creation, and those without a record stay below a quarter of a bucket."""

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
        """Take names off the list whose record is gone, except where it comes back meanwhile.

        Names that Redis keeps, because it refuses or goes away, are for the next one who comes upon them.
        """
        looks = await self._exchange.insist([(b"EXISTS", self._keys.record(key)) for key in dead])
        gone = [key for key, look in zip(dead, looks, strict=True) if look.reply == 0]
        commands: list[Command] = []
        for key in gone:
            commands.append((b"ZREM", self._keys.bucket_of(key), key.session.encode()))
            commands.append((b"EXISTS", self._keys.record(key)))
        looks = (await self._exchange.insist(commands))[1::2] if commands else []
        back = [key for key, look in zip(gone, looks, strict=True) if look.reply == 1]
        if back:
            await self._exchange.insist([self.add(key) for key in back])

    async def tidy(self, key: SessionKey) -> None:
        """Look at a few names in the bucket of this session and remove those whose record is gone."""
        command = (b"ZRANDMEMBER", self._keys.bucket_of(key), b"%d" % LOOKED_AT)
        (some,) = await self._exchange.insist([command])
        if isinstance(some.reply, list) and some.reply:
            await self.remove([SessionKey(key.tenant, text(name)) for name in some.reply])

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
                (b"ZRANGEBYLEX", self._keys.bucket(tenant, each), start, b"+", b"LIMIT", b"0", b"%d" % (limit + 1))
                for each in span
                for start in [b"(" + last.encode() if last and each == bucket else b"-"]
            ]
        )
        return [(each, text(name)) for each, names in zip(span, replies, strict=True) for name in items(names)]

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
    head, meta = items(replies[0])
    if head is None:
        return None
    found, position, _ = unpack_head(raw(head), raw(meta))
    return SessionSummary(key, found, position, max(number(replies[1]), 0) / 1000)


def _parse(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor or "00")
    if match is None:
        raise InvalidInput("not a cursor: send back the one that the page before carried", pointer="/cursor")
    return int(match[1], 16), match[2]
