"""Deletions of many sessions in Redis: their records, and the deletion of a part of their sessions.

A record is a JSON text with a number, and is replaced only by a process that knows its number. The names of a part are
in the record before the part is deleted, and each session that is deleted leaves a mark in its own slot. So a process
that continues the deletion of one that has died finds which sessions of the part were deleted, and counts each once.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import orjson

from cellar.errors import DeletionUnknown, StoreCorrupt
from cellar.ports import Deletion, SessionFilter, SessionKey, SessionSummary
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, items, raw, text
from cellar.store.protocol.script import load_script
from cellar.store.sessions.commits.command import leftovers
from cellar.store.sessions.record_codec import pack_head
from cellar.store.sessions.store import RedisSessions

PURGE, ADVANCE = load_script("session/purge"), load_script("session/advance")

KEPT_MS = 7 * 24 * 3600 * 1000
"""How long the record of a deletion that has ended is kept."""

MARK_MS = 24 * 3600 * 1000
"""How long the mark of a deleted session is kept if its part is not completed."""

HEAD_OF_INCARNATION, HEAD_OF_POSITION = slice(1, 9), slice(1, 41)
"""The incarnation in a head, and the incarnation with the position."""


class RedisDeletions:
    """Implements `cellar.ports.DeletionStore`."""

    def __init__(self, router: Router, sessions: RedisSessions, *, prefix: str) -> None:
        self._client = RetryingClient(router)
        self._keys = SessionKeys(prefix)
        self._sessions = sessions

    async def create(self, deletion: Deletion) -> Deletion:
        """Store a deletion, and return it; if there is one of its name, return that. Raise StoreUnavailable."""
        return _unpack(await self._replace(deletion, b"", _pack(deletion)))

    async def get(self, tenant: str, deletion: str) -> Deletion:
        """Return a deletion. Raise DeletionUnknown or StoreUnavailable."""
        (found,) = await self._client.read([(b"HGET", self._keys.deletion(tenant, deletion), b"j")])
        if found is None:
            raise DeletionUnknown(f"there is no deletion {deletion}")
        return _unpack(raw(found))

    async def take(self, deletion: Deletion, lease_s: float) -> bool:
        """Return whether this process is the one to continue the deletion, for this time. Raise StoreUnavailable."""
        return await self._client.take_turn(self._lease(deletion), lease_s)

    async def renew(self, deletion: Deletion, lease_s: float) -> None:
        """Extend the time for which this process continues the deletion; 0 ends it. Raise StoreUnavailable."""
        await self._client.execute([(b"PEXPIRE", self._lease(deletion), b"%d" % (1000 * lease_s))])

    async def unfinished(self, tenant: str) -> list[Deletion]:
        """Return the deletions that have not ended. Raise StoreUnavailable."""
        (names,) = await self._client.read([(b"SMEMBERS", self._keys.deletions(tenant))])
        keys = [self._keys.deletion(tenant, text(name)) for name in sorted(items(names))]
        found = await self._client.read([(b"HGET", key, b"j") for key in keys]) if keys else []
        return [_unpack(raw(each)) for each in found if each is not None]

    async def advance(self, before: Deletion, after: Deletion) -> bool:
        """Replace `before` by `after`; return False if another process has replaced it. Raise StoreUnavailable."""
        packed = _pack(after)
        if await self._replace(after, _number(before), packed) != packed:
            return False
        keys = [SessionKey(before.tenant, name) for name in before.batch]
        marks = [self._keys.deleted_by(key, before.deletion, before.part) for key in keys]
        if marks:
            await self._client.execute([(b"UNLINK", mark) for mark in marks])
        return True

    async def purge(self, deletion: Deletion, sessions: Mapping[str, SessionSummary | None]) -> list[SessionKey]:
        """Delete the sessions of the batch; see `DeletionStore.purge`. Raise StoreUnavailable."""
        keys = [SessionKey(deletion.tenant, name) for name in sessions]
        commands = [self._purge(deletion, key, summary) for key, summary in zip(keys, sessions.values(), strict=True)]
        answers = [answer.result() for answer in await self._client.execute(commands)]
        deleted = [key for key, answer in zip(keys, answers, strict=True) if answer == 1]
        await self._sessions.unlist(
            deleted, {key: each.meta.model for key in deleted if (each := sessions[key.session])}
        )
        return deleted

    def _purge(self, deletion: Deletion, key: SessionKey, summary: SessionSummary | None) -> Command:
        keys = [self._keys.record(key), self._keys.tombstone(key)]
        keys += [self._keys.deleted_by(key, deletion.deletion, deletion.part), *leftovers(self._keys.record(key))]
        if summary is None:
            return PURGE.call(keys, b"", b"", b"%d" % MARK_MS)
        head = pack_head(summary.meta, summary.position, 0)
        if deletion.wanted.idle_s is None:
            return PURGE.call(keys, head[HEAD_OF_INCARNATION], b"", b"%d" % MARK_MS)
        most_ms = b"%d" % (1000 * (summary.meta.ttl_s - deletion.wanted.idle_s))
        return PURGE.call(keys, head[HEAD_OF_POSITION], most_ms, b"%d" % MARK_MS)

    async def _replace(self, deletion: Deletion, before: bytes, after: bytes) -> bytes:
        """Replace the record if its number is `before`; return the record as it is then."""
        tenant, name = deletion.tenant, deletion.deletion
        keys = [self._keys.deletion(tenant, name), self._keys.deletions(tenant)]
        kept_ms = b"0" if deletion.ended_s is None else b"%d" % KEPT_MS
        call = ADVANCE.call(keys, before, _number(deletion), after, name.encode(), kept_ms)
        (answer,) = await self._client.execute([call])
        return raw(answer.result())

    def _lease(self, deletion: Deletion) -> bytes:
        return self._keys.deletion(deletion.tenant, deletion.deletion) + b":lease"


def _number(deletion: Deletion) -> bytes:
    """Return the number of a record, which grows with each replacement."""
    return b"%d" % (2 * deletion.part + bool(deletion.batch))


def _pack(deletion: Deletion) -> bytes:
    return orjson.dumps(asdict(deletion))


def _unpack(packed: bytes) -> Deletion:
    try:
        found: dict[str, Any] = orjson.loads(packed)
        names = {field.name for field in fields(Deletion)}
        deletion = Deletion(**{name: value for name, value in found.items() if name in names})
        return replace(deletion, wanted=SessionFilter(**found["wanted"]))
    except (ValueError, TypeError, LookupError) as error:
        raise StoreCorrupt("a damaged record of a deletion of sessions") from error
