"""Earlier states of a session and the log of its changes in Redis, as the commit script writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from cellar.errors import StoreCorrupt
from cellar.ports import KeptState, LogEntry, Position, SessionKey, StoredHistory
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import items, raw, text
from cellar.store.protocol.script import Script, load_script
from cellar.store.sessions.record_codec import (
    PAST_BYTES,
    absent,
    unpack_head,
    unpack_incarnation,
    unpack_past,
    unpack_past_place,
)

HISTORY, READ_STREAM = load_script("session/history"), load_script("session/read_stream")

PAGE_BYTES = 1024 * 1024
"""Bytes after which a reply has no further entry of the log: Redis spends a millisecond on it, and all clients wait."""


class RedisHistory:
    """Implements `cellar.ports.HistoryStore`. With a router of its own, no commit waits behind a page of a log."""

    def __init__(self, router: Router, *, prefix: str, page_bytes: int = PAGE_BYTES) -> None:
        self._client = RetryingClient(router)
        self._keys = SessionKeys(prefix)
        self._page_bytes = page_bytes

    async def read(self, key: SessionKey, history: int) -> StoredHistory:
        """Return the kept states and the log. `history` is the number of states that the session may keep."""
        head, meta, first, *places = await self._run(HISTORY, key, b"%d" % history, b"%d" % PAST_BYTES)
        found, position, revision = unpack_head(raw(head), raw(meta))
        kept = sorted((unpack_past_place(raw(place)) for place in places if place), key=lambda each: each[0])
        return StoredHistory(
            meta=found,
            position=position,
            revision=revision,
            states=tuple(KeptState(*each) for each in kept),
            first=_logged(*items(first)) if first else None,
        )

    async def state(self, key: SessionKey, incarnation: bytes, kept: KeptState, history: int) -> bytes | None:
        """Return an earlier state of the session with that incarnation, None if it is no longer kept."""
        field = b"p%d" % (kept.revision % history)
        (reply,) = await self._client.read([(b"HMGET", self._keys.record(key), b"h", field)])
        head, past = items(reply)
        if head is None or past is None or unpack_incarnation(raw(head)) != incarnation:
            return None
        revision, position, state = unpack_past(raw(past))
        return state if (revision, position) == (kept.revision, kept.position) else None

    async def log(
        self, key: SessionKey, incarnation: bytes, after: int, *, most: int, until: int | None = None
    ) -> Sequence[LogEntry]:
        """Return entries of the log after revision `after` (-1: from the first) and up to revision `until`."""
        begin = b"%d-0" % (after + 1)
        end = b"+" if until is None else b"%d-1" % until
        arguments = (begin, end, b"%d" % most, b"%d" % self._page_bytes)
        head, entries = await self._run(READ_STREAM, key, *arguments)
        if unpack_incarnation(raw(head)) != incarnation:
            return []
        return [_logged(*items(entry)) for entry in items(entries)]

    async def _run(self, script: Script, key: SessionKey, *arguments: bytes) -> list[Any]:
        keys = (self._keys.record(key), self._keys.tombstone(key), self._keys.log(key))
        (reply,) = await self._client.read([script.call(keys, *arguments)])
        what, *rest = items(reply)
        if what == b"gone":
            raise absent(key, rest[0])
        return rest


def read_revision(entry: object) -> int:
    """Return the revision in the id of a stream entry: `5-0` is the fifth change, `0-1` the creation."""
    return int(text(entry).partition("-")[0])


def _logged(entry: object, fields: object) -> LogEntry:
    found = read_fields(fields)
    try:
        return LogEntry(
            revision=read_revision(entry),
            kind=found[b"k"].decode(),
            after=read_position(found[b"p"]),
            steps=int(found[b"n"]),
            inputs=found.get(b"i", b""),
            row_flags=found.get(b"f", found.get(b"r", b"")),
            state=found.get(b"s"),
            layout=found[b"l"].decode() if b"l" in found else None,
            model=found[b"m"].decode() if b"m" in found else None,
        )
    except (KeyError, ValueError) as error:
        raise StoreCorrupt("a damaged entry in the log of a session") from error


def read_fields(fields: object) -> Mapping[bytes, bytes]:
    """Return the fields of an entry of a stream. Raise StoreCorrupt."""
    parts = items(fields)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def read_position(data: bytes) -> Position:
    """Return the position in an entry of a stream. Raise ValueError."""
    epoch, step, digest = data.decode().split(".")
    return Position(bytes.fromhex(epoch), int(step), bytes.fromhex(digest))
