"""Encodes a commit as the call of its script. The same commit gives the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from cellar.ports import ROW_RESET, Change, Commit, Origin, SessionMeta, SessionRecord
from cellar.store.keys import COMPANIONS, TOMBSTONE, SessionKeys
from cellar.store.protocol.script import Script, ScriptCall
from cellar.store.sessions.commits.redo_entries import pack_redo
from cellar.store.sessions.keyed_answer import MOST_ANSWERS, MOST_MARKS, key_digest, pack_keyed
from cellar.store.sessions.record_codec import (
    pack_entry,
    pack_head,
    pack_meta,
    pack_past,
    pack_writers,
)


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits of what the store keeps for repeated requests: number, size and time."""

    window: int
    """Number of ring entries of a session."""
    output_cap_bytes: int
    """Largest output that is kept in a ring entry or an event."""
    idempotency_ms: int
    tombstone_ms: int

    def lifetimes(self, ttl_s: int, pinned: bool) -> tuple[bytes, bytes, bytes]:
        """Return the lifetime of the record (0: endless), and when and to what its tombstone is extended, in ms.

        The tombstone is extended only after a quarter of the record's lifetime, which spares most commits a write. It
        still outlives the record by its own lifetime.
        """
        ttl_ms = ttl_s * 1000
        least = ttl_ms + self.tombstone_ms
        return b"%d" % (0 if pinned else ttl_ms), b"%d" % least, b"%d" % (least + ttl_ms // 4)


_NUMBERS = tuple(b"%d" % number for number in range(4096))
"""Numbers as bytes, as many as a commit needs: it has at most 1,024 changes, each with a name and a value."""


class CommitEncoder:
    """Encodes commits as calls of the commit script, whose arguments are described in `lua/session/commit.lua`."""

    def __init__(self, script: Script, keys: SessionKeys, retention: Retention) -> None:
        self._script = script
        self._keys = keys
        self._retention = retention
        self._lifetimes = lru_cache(maxsize=1024)(retention.lifetimes)
        self._slots = tuple(b"r%d" % index for index in range(retention.window))

    def call(self, commit: Commit) -> ScriptCall:
        """Return the call of the script for a commit of at most as many changes as the window has entries."""
        before, meta = commit.before, commit.meta or commit.before.meta
        record = self._keys.record(before.key)
        keys = [record, record + TOMBSTONE]
        further: list[bytes] = []
        digest = self._add_keyed(commit, keys, further)
        if meta.log or meta.events:
            self._add_streams(commit, meta, keys, further)
        fields = self._fields(commit, meta)
        return self._script.call(
            keys,
            pack_head(before.meta, before.position, before.revision, redo=before.unstored > 0),
            *self._lifetimes(meta.ttl_s, meta.pinned),
            b"%d" % (commit.wanted_pause_s * 1000) if commit.wanted_pause_s else b"0",
            digest,
            _NUMBERS[len(commit.changes)],
            _NUMBERS[len(fields)],
            *fields,
            *further,
        )

    def _fields(self, commit: Commit, meta: SessionMeta) -> list[bytes]:
        """Return names and values of the record's new fields, the first ones in the order that the script requires."""
        before, after = commit.before, commit.after
        fields = [b"h", pack_head(meta, after.position, after.revision, redo=commit.redo is not None)]
        if commit.redo is None:
            fields += b"s", commit.state
        else:
            fields += b"i%d" % before.unstored, pack_redo(commit.redo)
        places: dict[int, bytes] = {}
        for revision, change in enumerate(commit.changes, before.revision):
            entry = pack_entry(change, revision, self._retention.output_cap_bytes)
            fields += self._slots[revision % self._retention.window], entry
            if change.identity.writer is not None:
                places[after.writers.place(change.identity.writer)] = entry
        if places:
            fields += b"v", pack_writers(after.writers)
            for place, entry in places.items():
                fields += b"v%d" % place, entry
        if commit.meta is not None:
            fields += b"m", pack_meta(meta)
        if meta.history and not before.redo:
            fields += b"p%d" % (before.revision % meta.history), pack_past(before)
        return fields

    def _add_keyed(self, commit: Commit, keys: list[bytes], further: list[bytes]) -> bytes:
        """Add the command that stores the answer for the Idempotency-Key; return its digest, 0 without a key."""
        change = commit.changes[0]
        if change.identity.key is None:
            return b"0"
        session, name = commit.before.key, change.identity.key
        keys += self._keys.answers(session), self._keys.older_answer(session, name)
        answer = pack_keyed(change, commit.before.meta, self._retention.output_cap_bytes)
        limits = b"%d" % self._retention.idempotency_ms, b"%d" % MOST_ANSWERS, b"%d" % MOST_MARKS
        further += _further(b"REMEMBER", 3, answer, *limits)
        return key_digest(name)

    def _add_streams(self, commit: Commit, meta: SessionMeta, keys: list[bytes], further: list[bytes]) -> None:
        """Add an entry for each change to the log of inputs and to the events, where the session has them."""
        key = commit.before.key
        for most, stream, entry in (
            (meta.log, self._keys.log(key), partial(_log_entry, commit)),
            (meta.events, self._keys.events(key), self._event),
        ):
            if not most:
                continue
            keys.append(stream)
            for revision, change in enumerate(commit.changes, commit.before.revision):
                # the id has the revision of the change, so that a gap in the stream is detected
                limit = (b"MAXLEN", b"~", b"%d" % most, stream_id(revision))
                further += _further(b"XADD", len(keys), *limit, *entry(change))
            life = (b"PERSIST",) if meta.pinned else (b"PEXPIRE", self._lifetimes(meta.ttl_s, meta.pinned)[2])
            further += _further(life[0], len(keys), *life[1:])
        if meta.events:
            further += _further(b"PUBLISH", len(keys), b"")

    def _event(self, change: Change) -> Sequence[bytes]:
        fields = [b"t", change.kind.encode(), b"p", str(change.after).encode(), b"n", b"%d" % change.steps]
        if change.output and len(change.output) <= self._retention.output_cap_bytes:
            fields += b"o", change.output
        return fields


def stream_id(revision: int) -> bytes:
    """Return the id of the entry for the change with that revision in a session's streams."""
    return b"%d-0" % (revision + 1)


def leftovers(record: bytes) -> list[bytes]:
    """Return the other keys that a session may have besides its record, whose key is given, and its tombstone."""
    return [record + suffix for suffix in COMPANIONS]


_NO_ENTRIES: Sequence[Sequence[bytes]] = (), ()


def first_entries(record: SessionRecord, layout: str | None, origin: Origin) -> Sequence[Sequence[bytes]]:
    """Return the fields of the first entry in the log and in the events of a new session; empty if it has none.

    The entry in the log has the state, so that the log can be replayed from it. A session that is created with a state
    of its own (`write`) is logged as one whose state was written, and announced as any that is created.
    """
    if not (record.meta.log or record.meta.events):
        return _NO_ENTRIES
    said = [b"p", str(record.position).encode(), b"n", b"0"]
    where = [] if layout is None else [b"l", layout.encode()]
    log = [b"k", origin.encode(), *said, b"s", record.state, *where] if record.meta.log else []
    kind = "create" if origin == "write" else origin
    return log, [b"t", kind.encode(), *said] if record.meta.events else []


def _log_entry(commit: Commit, change: Change) -> Sequence[bytes]:
    fields = [b"k", change.kind.encode(), b"p", str(change.after).encode(), b"n", b"%d" % change.steps]
    if change.inputs:
        fields += b"i", change.inputs
    if change.row_flags:
        # `r` is older, and has nothing but resets before the first step
        is_reset = len(change.row_flags) == commit.before.meta.batch_size and max(change.row_flags) <= ROW_RESET
        fields += b"r" if is_reset else b"f", change.row_flags
    if change.layout is not None:
        fields += b"s", commit.state, b"l", change.layout.encode()
    if commit.meta is not None and commit.meta.model_digest != commit.before.meta.model_digest:
        fields += b"m", commit.meta.model.encode()
    return fields


def _further(name: bytes, key: int, *arguments: bytes) -> list[bytes]:
    """Return a command as the script reads it: number of arguments, name, index of the key, arguments."""
    return [b"%d" % len(arguments), name, b"%d" % key, *arguments]
