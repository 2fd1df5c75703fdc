"""How a session is packed into its hash. Scripts compare these bytes and know none of their parts but one.

Fields of the hash:

    h         head: where the session stands; the commit script compares it whole
    m         meta: what never changes, as JSON
    s         state: float32 little endian, row by row
    r<i>      entry of the change with revision r, i = r mod W: what a replay of it answers
    w         there while a process keeps losing the race for this session: the milliseconds it asks for

All integers are little endian. `schema` changes when an older version could not read the record.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from struct import Struct

import orjson

from cellar.errors import StoreCorrupt
from cellar.ports import Commit, Committed, Position, SessionKey, SessionMeta, SessionRecord

SCHEMA = 1

_HEAD = Struct("<B8s8sQ16sQI16s")
"""schema, birth, epoch, step, digest, revision, kernel_rev, model mark. Scripts know that bytes 2 to 9 are `birth`."""

_ENTRY = Struct("<QB8sQ16s8sI16s16s")
"""revision, flags, then before: epoch, step, digest; after: epoch, steps, digest; mark"""

_KEYED = Struct("<8s16s8sQ16sIB")
"""birth (scripts know that it comes first), fingerprint, then after: epoch, step, digest; steps, flags"""

_ORDERED, _KEPT = 1, 2


@lru_cache(maxsize=1024)
def _model_mark(digest: str) -> bytes:
    return blake2b(digest.encode(), digest_size=16).digest()


def _position(epoch: bytes, step: int, digest: bytes) -> Position:
    return Position(epoch.hex(), step, digest.hex())


def pack_head(meta: SessionMeta, position: Position, revision: int) -> bytes:
    """Return the head of a session at `position` after `revision` changes."""
    return _HEAD.pack(
        SCHEMA,
        bytes.fromhex(meta.birth),
        bytes.fromhex(position.epoch),
        position.step,
        bytes.fromhex(position.digest),
        revision,
        meta.kernel_rev,
        _model_mark(meta.model_digest),
    )


def pack_meta(meta: SessionMeta) -> bytes:
    """Return the part of meta that the head does not hold."""
    return orjson.dumps([meta.model, meta.model_digest, meta.batch_size, meta.ttl_s, meta.created_s])


def unpack_head(head: bytes, meta: bytes) -> tuple[SessionMeta, Position, int]:
    """Return meta, position and revision. Raise StoreCorrupt."""
    if not head or head[0] != SCHEMA or len(head) != _HEAD.size:
        raise StoreCorrupt("a session record that this version of Cellar cannot read")
    _, birth, epoch, step, digest, revision, kernel_rev, mark = _HEAD.unpack(head)
    try:
        model, model_digest, batch_size, ttl_s, created_s = orjson.loads(meta)
    except ValueError as error:
        raise StoreCorrupt("a session record with damaged metadata") from error
    if mark != _model_mark(model_digest):
        raise StoreCorrupt("a session record whose head and metadata name different models")
    found = SessionMeta(model, model_digest, batch_size, kernel_rev, ttl_s, created_s, birth.hex())
    return found, _position(epoch, step, digest), revision


def unpack_record(key: SessionKey, head: bytes, meta: bytes, state: bytes) -> SessionRecord:
    """Return the session that these fields hold. Raise StoreCorrupt."""
    found, position, revision = unpack_head(head, meta)
    return SessionRecord(key, found, position, revision, state)


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed change, as the ring keeps it.

    `mark` tells the request from others: the fingerprint where the request named its place, else its nonce.
    """

    revision: int
    ordered: bool
    before: Position
    after: Position
    steps: int
    mark: bytes
    output: bytes | None

    def answer(self) -> Committed:
        """Return what a replay of this change is answered."""
        return Committed(self.after, self.steps, self.output, replayed=True)


def mark_of(commit: Commit) -> bytes:
    """Return what tells this commit's request from any other at the same place."""
    return commit.fingerprint if commit.identity.ordered else commit.nonce


def pack_entry(commit: Commit, cap: int) -> bytes:
    """Return the ring entry of a commit; an output over `cap` bytes is left out."""
    kept = len(commit.output) <= cap
    before, after = commit.before.position, commit.position
    return _ENTRY.pack(
        commit.before.revision,
        _ORDERED * commit.identity.ordered | _KEPT * kept,
        bytes.fromhex(before.epoch),
        before.step,
        bytes.fromhex(before.digest),
        bytes.fromhex(after.epoch),
        commit.steps,
        bytes.fromhex(after.digest),
        mark_of(commit),
    ) + (commit.output if kept else b"")


def unpack_entry(data: bytes) -> Entry:
    """Return a ring entry. Raise StoreCorrupt."""
    if len(data) < _ENTRY.size:
        raise StoreCorrupt("a session record with a damaged replay entry")
    revision, flags, epoch, step, digest, epoch_after, steps, digest_after, mark = _ENTRY.unpack_from(data)
    after = _position(epoch_after, step + steps if steps else 0, digest_after)
    output = data[_ENTRY.size :] if flags & _KEPT else None
    return Entry(revision, bool(flags & _ORDERED), _position(epoch, step, digest), after, steps, mark, output)


@dataclass(frozen=True, slots=True)
class Keyed:
    """What the session `birth` answered to a request with an Idempotency-Key."""

    birth: str
    fingerprint: bytes
    after: Position
    steps: int
    output: bytes | None

    def answer(self) -> Committed:
        """Return what a replay of the request is answered."""
        return Committed(self.after, self.steps, self.output, replayed=True)


def pack_keyed(commit: Commit, cap: int) -> bytes:
    """Return what is kept under the commit's Idempotency-Key; an output over `cap` bytes is left out."""
    kept = len(commit.output) <= cap
    after = commit.position
    return _KEYED.pack(
        bytes.fromhex(commit.before.meta.birth),
        commit.fingerprint,
        bytes.fromhex(after.epoch),
        after.step,
        bytes.fromhex(after.digest),
        commit.steps,
        _KEPT * kept,
    ) + (commit.output if kept else b"")


def unpack_keyed(data: bytes) -> Keyed:
    """Return what is kept under an Idempotency-Key. Raise StoreCorrupt."""
    if len(data) < _KEYED.size:
        raise StoreCorrupt("a damaged idempotency record")
    birth, fingerprint, epoch, step, digest, steps, flags = _KEYED.unpack_from(data)
    output = data[_KEYED.size :] if flags & _KEPT else None
    return Keyed(birth.hex(), fingerprint, _position(epoch, step, digest), steps, output)
