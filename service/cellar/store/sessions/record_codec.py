"""Encodes and decodes the stored form of a session: the fields of its Redis hash, which scripts compare as bytes.

Fields of the hash:

    h         head: position and revision of the session; the commit script compares it as a whole
    m         meta: what steps do not change, as JSON
    s         state: float32 little endian, row by row
    r<i>      ring entry of the change with revision r, i = r mod W: identity and answer of its request
    v         the writers, in their places; exists if the session has any
    v<i>      entry of the last request of the writer in place i
    i<j>      with schema 2: redo entry of the j-th commit since the last one that stored the state, which `s` is
    p<i>      the state before the change with revision r, i = r mod K, of a session that keeps K earlier states
    w         exists while a process whose commits fail asks the others for a pause: its milliseconds

All integers are little endian. `schema` is raised when older versions of Cellar cannot read the record: it is 2 as long
as the present state has to be computed from `s` and the redo entries, and 1 from the next commit that stores the state
on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Any

import orjson

from cellar.errors import CellarError, SessionExpired, SessionUnknown, StoreCorrupt
from cellar.ports import (
    NO_WRITERS,
    Change,
    Committed,
    DeletedModel,
    Following,
    Identity,
    Position,
    RedoEntry,
    SessionKey,
    SessionMeta,
    SessionRecord,
    Writer,
    Writers,
    writer_mark,
)
from cellar.store.protocol.resp import Reply, raw

SCHEMA, REDO_SCHEMA = 1, 2

HEAD = Struct("<B8s8sQ16sQI16s")
"""schema, incarnation, epoch, step, digest, revision, kernel_rev, model mark. Scripts read the incarnation: bytes 2 to
9."""

HEAD_BYTES = HEAD.size

MOVED_HEAD = Struct("<9s8sQ16sQ20s")
"""A head in three parts, of which steps change the middle one: epoch, step, digest, revision."""

ENTRY = Struct("<QB8sQ16s8sI16s16s")
"""revision, flags, then before: epoch, step, digest; after: epoch, steps, digest; mark. A writer's entry continues with
16 bytes that identify its request (`who`)."""

ENTRY_BYTES, _WHO_BYTES = ENTRY.size, 16

_WRITER = Struct("<16sQQ")
"""mark, seq, revision"""

_PAST = Struct("<Q8sQ16s")
"""revision, then epoch, step and digest of the position"""

PAST_BYTES = _PAST.size
"""Size of an earlier state without the state itself."""

OPTIONS = 5
"""Number of optional members of the metadata. A sixth follows if the model was deleted, a seventh if the session
follows an alias, and an eighth if it learns; those before the last one that is there are null."""

_BEFORE_OPTIONS = 5
"""Number of the members before them."""

ORDERED, KEPT, NUMBERED = 1, 2, 4
"""Flags of an entry."""


@lru_cache(maxsize=1024)
def model_mark(digest: str, *, deleted: bool) -> bytes:
    """Return the last bytes of a head. They differ if the model was deleted, so that commits find another head."""
    return blake2b(digest.encode(), digest_size=16, person=b"deleted" if deleted else b"").digest()


def pack_head(meta: SessionMeta, position: Position, revision: int, *, redo: bool = False) -> bytes:
    """Return the head of a session at `position` after `revision` changes, perhaps with redo entries."""
    return HEAD.pack(
        REDO_SCHEMA if redo else SCHEMA,
        meta.incarnation,
        position.epoch,
        position.step,
        position.digest,
        revision,
        meta.kernel_rev,
        model_mark(meta.model_digest, deleted=meta.deleted is not None),
    )


def pack_meta(meta: SessionMeta, created_s: float | None = None) -> bytes:
    """Return the metadata that is not in the head, as JSON, with another time of creation if one is given."""
    created_s = meta.created_s if created_s is None else created_s
    found: list[object] = [meta.model, meta.model_digest, meta.batch_size, meta.ttl_s, created_s]
    options: list[object] = [meta.history, meta.log, meta.events, meta.pinned, meta.migrated]
    rare = [meta.deleted and list(meta.deleted), meta.following and list(meta.following), meta.learning or None]
    while rare and rare[-1] is None:
        rare.pop()
    options += rare
    return orjson.dumps(found + options if any(options) else found)  # most sessions have no options


def unpack_head(head: bytes, meta: bytes) -> tuple[SessionMeta, Position, int]:
    """Return metadata, position and revision. Raise StoreCorrupt."""
    _check_schema(head)
    _, incarnation, epoch, step, digest, revision, kernel_rev, mark = HEAD.unpack(head)
    try:
        model, model_digest, batch_size, ttl_s, created_s, *options = unpack_meta(meta)
        found = SessionMeta(model, model_digest, batch_size, kernel_rev, ttl_s, created_s, incarnation, *options)
        is_of_model = mark == model_mark(model_digest, deleted=found.deleted is not None)
    except (ValueError, TypeError) as error:  # no JSON, no list, or more or fewer members than this version knows
        raise StoreCorrupt("a session record with damaged metadata") from error
    if not is_of_model:
        raise StoreCorrupt("a session record whose head and metadata name different models")
    return found, Position(epoch, step, digest), revision


def unpack_meta(meta: bytes) -> list[Any]:
    """Return the members of packed metadata. Raise ValueError or TypeError."""
    found: list[Any] = orjson.loads(meta)
    if len(found) > _BEFORE_OPTIONS + OPTIONS:
        deleted, *rest = found[_BEFORE_OPTIONS + OPTIONS :]
        following = _following(rest[0] if rest else None)
        found[_BEFORE_OPTIONS + OPTIONS :] = [_deleted(deleted), following, *rest[1:]]
    return found


def _deleted(packed: list[Any] | None) -> DeletedModel | None:
    if packed is None:
        return None
    in_size, out_size, whole_sequences, states = packed
    return DeletedModel(in_size, out_size, whole_sequences, tuple(tuple(each) for each in states))


def _following(packed: list[Any] | None) -> Following | None:
    if packed is None:
        return None
    alias, moved_ms, versions = packed
    return Following(alias, moved_ms, tuple((revision, version) for revision, version in versions))


def unpack_revision(head: bytes) -> int:
    """Return the revision in a head. Raise StoreCorrupt."""
    _check_schema(head)
    return int(HEAD.unpack(head)[5])


def _check_schema(head: bytes) -> None:
    if not head or head[0] not in (SCHEMA, REDO_SCHEMA) or len(head) != HEAD.size:
        raise StoreCorrupt("a session record that this version of Cellar cannot read")


def needs_redo(head: bytes) -> bool:
    """Return whether a session with this head has redo entries."""
    return head[:1] == bytes([REDO_SCHEMA])


def position_in(head: bytes) -> Position:
    """Return the position in a head."""
    return Position(*HEAD.unpack(head)[2:5])


def unpack_incarnation(head: bytes) -> bytes:
    """Return the incarnation in a head."""
    return head[1:9]


def absent(key: SessionKey, tombstone: Reply) -> CellarError:
    """Return the error for a session without a record, given whether its tombstone is there."""
    if tombstone:
        return SessionExpired(f"session {key.session} has expired")
    return SessionUnknown(f"there is no session {key.session}")


def bytes_or_none(reply: Reply) -> bytes | None:
    """Return a reply that must be bytes or nil. Raise StoreCorrupt."""
    return None if reply is None else raw(reply)


def unpack_record(
    key: SessionKey,
    head: bytes,
    meta: bytes,
    state: bytes,
    writers: bytes | None,
    redo: Sequence[RedoEntry] | None = None,
) -> SessionRecord:
    """Return the session that these fields hold. Raise StoreCorrupt.

    If it has redo entries and these are not given, `unstored` is above 0 and its state is not the present one.
    """
    found, position, revision = unpack_head(head, meta)
    known = unpack_writers(writers) if writers else NO_WRITERS
    record = SessionRecord(key, found, position, revision, state, known)
    if needs_redo(head):
        record.redo, record.unstored = redo or (), len(redo or ()) or 1
    return record


def pack_writers(writers: Writers) -> bytes:
    """Return the packed writers, in their places."""
    return b"".join([_WRITER.pack(writer.mark, writer.seq, writer.revision) for writer in writers.all])


def repack_writers(data: bytes, writers: Writers, places: Iterable[int]) -> bytes:
    """Return the packed writers, given the packed writers of before, which differ only in these places."""
    for place in places:
        writer = writers.all[place]
        packed = _WRITER.pack(writer.mark, writer.seq, writer.revision)
        data = data[: place * _WRITER.size] + packed + data[(place + 1) * _WRITER.size :]
    return data


def unpack_writers(data: bytes) -> Writers:
    """Return the writers. Raise StoreCorrupt."""
    if len(data) % _WRITER.size:
        raise StoreCorrupt("a session record with damaged writers")
    return Writers(tuple(Writer(*fields) for fields in _WRITER.iter_unpack(data)))


def pack_past(record: SessionRecord) -> bytes:
    """Return the packed state of a record with its revision and position."""
    where = record.position
    place = _PAST.pack(record.revision, where.epoch, where.step, where.digest)
    return place + record.state


def unpack_past(data: bytes) -> tuple[int, Position, bytes]:
    """Return revision, position and state of an earlier state. Raise StoreCorrupt."""
    return *unpack_past_place(data), data[_PAST.size :]


def unpack_past_place(data: bytes) -> tuple[int, Position]:
    """Return revision and position of an earlier state. Raise StoreCorrupt."""
    if len(data) < _PAST.size:
        raise StoreCorrupt("a session record with a damaged past")
    revision, epoch, step, digest = _PAST.unpack_from(data)
    return revision, Position(epoch, step, digest)


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed change in the ring.

    `mark` identifies the request: the fingerprint if the request named its place, else its nonce. `who` identifies the
    writer and the number of its request, None if it has no writer.
    """

    revision: int
    ordered: bool
    before: Position
    after: Position
    steps: int
    mark: bytes
    who: bytes | None
    output: bytes | None

    def answer(self, meta: SessionMeta) -> Committed:
        """Return the answer to a repetition of this change's request; `meta` are those of the session."""
        return Committed(self.after, self.steps, self.output, replayed=True, model=meta.ran(self.revision))

    def is_of(self, change: Change) -> bool:
        """Return whether it is the entry of this request, at any position."""
        identity = change.identity
        return (self.ordered, self.mark, self.who) == (identity.ordered, _mark(change), who(identity))


def _mark(change: Change) -> bytes:
    """Return the bytes that identify this request among others at the same place."""
    return change.fingerprint if change.identity.ordered else change.nonce


def who(identity: Identity) -> bytes | None:
    """Return 16 bytes that identify the request of a writer in the session, None of a request without a writer."""
    if identity.writer is None or identity.seq is None:
        return None
    return blake2b(writer_mark(identity.writer) + b"%d" % identity.seq, digest_size=_WHO_BYTES).digest()


def pack_entry(change: Change, revision: int, cap: int) -> bytes:
    """Return the packed ring entry of a change, without an output over `cap` bytes."""
    kept = len(change.output) <= cap
    whose = who(change.identity)
    before, after = change.before, change.after
    flags = ORDERED * change.identity.ordered | KEPT * kept | NUMBERED * (whose is not None)
    entry = ENTRY.pack(
        revision,
        flags,
        before.epoch,
        before.step,
        before.digest,
        after.epoch,
        change.steps,
        after.digest,
        _mark(change),
    )
    return entry + (whose or b"") + (change.output if kept else b"")


def unpack_entry(data: bytes) -> Entry:
    """Return a ring entry. Raise StoreCorrupt."""
    if len(data) < ENTRY_BYTES:
        raise StoreCorrupt("a session record with a damaged replay entry")
    revision, flags, epoch, step, digest, epoch_after, steps, digest_after, mark = ENTRY.unpack_from(data)
    # a change that is not a step begins an epoch, or leaves the position as it is
    after = Position(epoch_after, step + steps if epoch_after == epoch else 0, digest_after)
    end = ENTRY_BYTES + _WHO_BYTES * bool(flags & NUMBERED)
    whose = data[ENTRY_BYTES:end] or None
    output = data[end:] if flags & KEPT else None
    before = Position(epoch, step, digest)
    return Entry(revision, bool(flags & ORDERED), before, after, steps, mark, whose, output)
