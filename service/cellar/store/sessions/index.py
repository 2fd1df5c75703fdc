"""The listing of a tenant's sessions: 256 sorted sets, read in the order of (bucket, name).

A name is added before the record is created and again after it, so that every session is listed. A name whose record
has expired is removed when it is found: by `page` among the names that it reads, by `tidy` among a few of one bucket,
and by the sweeper (`expiry.py`) among all in turn.

Names and records are in different slots of a cluster, so no script can remove a name on the condition that there is no
record. Instead a name is removed after a second check of the record, and added again if a third check finds that the
record has been created in between. One gap is left: a session that is created between the second and the third check is
not listed if the checking process dies before it adds the name again, until the same name is created again.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence

from cellar.errors import CellarError, InvalidInput
from cellar.ports import EVERY_SESSION, MOST_NAME_BYTES, SessionFilter, SessionKey, SessionSummary
from cellar.ports.catalogue.quotas import SessionUse
from cellar.store.connection.retry import RetryingClient
from cellar.store.keys import BUCKETS, SessionKeys
from cellar.store.protocol.resp import Command, Reply, items, number, raw, text
from cellar.store.protocol.script import load_script
from cellar.store.sessions.record_codec import unpack_head

REAP = load_script("session/reap")

SPAN = 32
"""Buckets read in one round trip: a tenant with few sessions is listed in eight round trips."""

SAMPLED = 4
"""Names that are checked for each creation while some of them have no record: it keeps those below a quarter of a
bucket. Otherwise one is checked."""

EXAMINED_AT_ONCE, MOST_EXAMINED = 256, 1024
"""Sessions that a page with a filter reads in one round trip, and sessions that a page reads at most."""

MEASURED = 8
"""Sessions of each bucket whose states are measured to estimate the bytes of all: 2,048 of a tenant."""

MANY = 512
"""Names that `next_names` reads at most: to check them takes a millisecond."""

Expired = Callable[[Sequence[SessionKey]], Awaitable[None]]
"""Is called with sessions that have expired, perhaps twice with one, and again later if it raises CellarError."""

_CURSOR = re.compile(
    rf"([0-9a-f]{{2}})(?:([A-Za-z0-9._:-]{{0,{MOST_NAME_BYTES}}})"
    r"|~((?:[A-Za-z0-9_-]{4}){0,86}(?:[A-Za-z0-9_-]{2,3})?))"
)
"""A bucket and the last name in it. Names with other characters are in base64url, so that cursors need no encoding."""


async def ignore(_: Sequence[SessionKey]) -> None:
    """Do nothing about expired sessions."""


class SessionIndex:
    """Adds, removes and pages through names. `expired` is called with sessions that have expired."""

    def __init__(self, client: RetryingClient, keys: SessionKeys, expired: Expired = ignore) -> None:
        self._client = client
        self._keys = keys
        self._expired = expired

    def add(self, key: SessionKey) -> Command:
        """Return the command that lists a session."""
        return (b"ZADD", self._keys.bucket_of(key), b"0", key.session.encode())

    async def remove(self, dead: Sequence[SessionKey]) -> None:
        """Remove names whose record is gone, unless the record is created again meanwhile.

        Names that cannot be removed now are removed when they are found the next time. No name is removed if the
        callback for expired sessions fails.
        """
        looks = [answer.reply for answer in await self._client.execute([self._reap(key) for key in dead])]
        found = [(key, look) for key, look in zip(dead, looks, strict=True) if look == 1 or isinstance(look, bytes)]
        expired = [key for key, look in found if look != 1]
        try:
            if expired:
                await self._expired(expired)
        except CellarError:
            return
        if not found:
            return
        places = [(key, self._places(key, look)) for key, look in found]
        names: dict[bytes, list[bytes]] = {}
        for key, all_of in places:
            for at in all_of:
                names.setdefault(at, []).append(key.session.encode())
        await self._client.execute([(b"ZREM", at, *some) for at, some in names.items()])
        again = await self._client.execute([(b"EXISTS", self._keys.record(key)) for key, _ in found])
        back = [place for place, look in zip(places, again, strict=True) if look.reply == 1]
        if back:
            await self._client.execute(
                [(b"ZADD", at, b"0", key.session.encode()) for key, all_of in back for at in all_of]
            )

    def _places(self, key: SessionKey, look: object) -> list[bytes]:
        """Return the sets that may have a session: its bucket, and that of its version if that is known."""
        ref = look.decode() if isinstance(look, bytes) else ""
        return [self._keys.bucket_of(key), *([self._keys.dependents(key.tenant, ref)] if ref else [])]

    def _reap(self, key: SessionKey) -> Command:
        keys = (self._keys.record(key), self._keys.tombstone(key), self._keys.snapshots(key), self._keys.shadow(key))
        return REAP.call(keys)

    async def tidy(self, key: SessionKey, names: int = SAMPLED) -> bool:
        """Check some names in the bucket of this session; remove those without a record, and return if any had none."""
        command = (b"ZRANDMEMBER", self._keys.bucket_of(key), b"%d" % names)
        some = [SessionKey(key.tenant, text(name)) for name in items((await self._client.read([command]))[0])]
        dead = await self.without_record(some) if some else []
        if dead:
            await self.remove(dead)
        return bool(dead)

    async def page(
        self, tenant: str, cursor: str, limit: int, wanted: SessionFilter = EVERY_SESSION
    ) -> tuple[list[SessionSummary], str]:
        """Return up to `limit` sessions after `cursor`, and the cursor that continues. Raise InvalidInput.

        A page before the end may have fewer, or none, because it reads not many more than MOST_EXAMINED sessions.
        """
        bucket, last = _parse(cursor)
        found: list[SessionSummary] = []
        examined = 0
        while bucket < BUCKETS and len(found) < limit and examined < MOST_EXAMINED:
            remaining = limit - len(found)
            at_once = remaining if wanted.by_name else EXAMINED_AT_ONCE
            names, following = await self._next(tenant, bucket, last, at_once, wanted.prefix)
            examined += len(names)
            summaries = await self.summaries([SessionKey(tenant, name) for _, name in names])
            fitting = [summary for summary in summaries if wanted.fits(summary)]
            if len(fitting) > remaining:  # the next page has the others
                fitting = fitting[:remaining]
                following = names[[name for _, name in names].index(fitting[-1].key.session)]
            found += fitting
            bucket, last = following
        return found, _cursor(bucket, last) if bucket < BUCKETS else ""

    async def use(self, tenant: str) -> SessionUse:
        """Return the number of names of a tenant, and the bytes of its states, estimated from a sample of many."""
        buckets = [self._keys.bucket(tenant, each) for each in range(BUCKETS)]
        counts = [number(count) for count in await self._client.read([(b"ZCARD", each) for each in buckets])]
        filled = [(bucket, count) for bucket, count in zip(buckets, counts, strict=True) if count]
        drawn = await self._client.read([(b"ZRANDMEMBER", bucket, b"%d" % MEASURED) for bucket, _ in filled])
        names = [[text(name) for name in items(some)] for some in drawn]
        keys = [SessionKey(tenant, name) for some in names for name in some]
        sizes = iter(await self._client.read([(b"HSTRLEN", self._keys.record(key), b"s") for key in keys]))
        state_bytes = 0.0
        for (_, count), some in zip(filled, names, strict=True):
            measured = sum(number(next(sizes)) for _ in some)
            state_bytes += measured * count / max(1, len(some))
        return SessionUse(sum(counts), round(state_bytes))

    async def next_names(self, tenant: str, cursor: str) -> tuple[list[SessionKey], str]:
        """Return at most MANY names after `cursor`, and the cursor that continues ("" at the end)."""
        names, (bucket, last) = await self._next(tenant, *_parse(cursor), MANY)
        found = [SessionKey(tenant, name) for _, name in names]
        return found, _cursor(bucket, last) if bucket < BUCKETS else ""

    async def without_record(self, keys: Sequence[SessionKey]) -> list[SessionKey]:
        """Return those of the sessions that have no record."""
        looks = await self._client.read([(b"EXISTS", self._keys.record(key)) for key in keys])
        return [key for key, look in zip(keys, looks, strict=True) if look == 0]

    async def _next(
        self, tenant: str, bucket: int, last: str, limit: int, prefix: str = ""
    ) -> tuple[list[tuple[int, str]], tuple[int, str]]:
        """Return at most `limit` names after `last` of the next SPAN buckets, each with its bucket, and the next place.

        The names are counted first, so that no more are read than returned: buckets of a large fleet hold thousands.
        """
        begin, end = (b"[" + prefix.encode(), b"[" + prefix.encode() + b"\xff") if prefix else (b"-", b"+")
        after = b"(" + last.encode(errors="surrogateescape") if last and last >= prefix else begin
        span = {
            self._keys.bucket(tenant, each): (each, after if each == bucket else begin)
            for each in range(bucket, min(bucket + SPAN, BUCKETS))
        }
        # ZLEXCOUNT searches the set twice; the number of all names of a set is stored with it.
        counts = await self._client.read(
            [
                (b"ZCARD", key) if (first, end) == (b"-", b"+") else (b"ZLEXCOUNT", key, first, end)
                for key, (_, first) in span.items()
            ]
        )
        room, commands, most = limit, list[Command](), list[tuple[int, int]]()
        for (key, (each, first)), count in zip(span.items(), counts, strict=True):
            if some := min(number(count), room):
                commands.append((b"ZRANGEBYLEX", key, first, end, b"LIMIT", b"0", b"%d" % some))
                most.append((each, some))
                room -= some
        replies = [items(reply) for reply in await self._client.read(commands)] if commands else []
        names = [(each, text(name)) for (each, _), reply in zip(most, replies, strict=True) for name in reply]
        if sum(number(count) for count in counts) <= limit:
            return names, (bucket + SPAN, "")
        final, some = most[-1]
        return names, names[-1] if len(replies[-1]) == some else (final + 1, "")  # fewer: some have gone meanwhile

    async def summaries(self, keys: Sequence[SessionKey]) -> list[SessionSummary]:
        """Return those of the sessions that exist; remove the names of the others."""
        if not keys:
            return []
        replies = await self._client.read([command for key in keys for command in summary_commands(self._keys, key)])
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


def _cursor(bucket: int, last: str) -> str:
    """Return the cursor that continues after a name.

    >>> _cursor(255, "aa:bb"), _cursor(255, "a/1")
    ('ffaa:bb', 'ff~YS8x')
    """
    cursor = f"{bucket:02x}{last}"
    if _CURSOR.fullmatch(cursor) and not last.startswith("~"):
        return cursor
    return f"{bucket:02x}~{urlsafe_b64encode(last.encode()).decode().rstrip('=')}"


_OF_NAMES = "\0"
"""Begins the name in a cursor of a list that is in the order of names; no name has it."""


def cursor_behind(name: str) -> str:
    """Return the cursor that continues a list in the order of names after a name."""
    return _cursor(0, _OF_NAMES + name)


def name_behind(cursor: str) -> str | None:
    """Return the name in such a cursor, "" to begin, None if the cursor is of another list. Raise InvalidInput.

    >>> name_behind(cursor_behind("a/1")), name_behind(""), name_behind("ffaa")
    ('a/1', '', None)
    """
    if not cursor:
        return ""
    _, last = _parse(cursor)
    return last.removeprefix(_OF_NAMES) if last.startswith(_OF_NAMES) else None


def _parse(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor or "00")
    if match is None:
        raise InvalidInput("not a cursor: send back the one that the page before carried", pointer="/cursor")
    bucket, last, encoded = match.groups()
    if encoded is not None:
        last = urlsafe_b64decode(encoded + "==").decode(errors="surrogateescape")
    return int(bucket, 16), last
