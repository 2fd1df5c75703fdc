"""Encodes and decodes the answers to requests with an Idempotency-Key, which are kept for repetitions of the requests.

A session has a hash of its last answers. The script of a commit writes its fields:

    <digest>      the answer for a key, by a digest of the key (8 bytes). Before the answer stands when it ends, seconds
                  since the Unix epoch (4 bytes, big endian)
    0, 1, 2 ...   digest and end of the answers in the order of the requests, a ring of MOST_ANSWERS
    b0 to b127    marks, digest and end, of earlier requests, by the first byte of the digest
    i             incarnation of the session
    n             number of the requests

A request with a mark was applied, and is not applied again. A session can have 4,096 marks. A mark is given up if 32
later ones are in the same field: among 2,000 requests that happens to one in ten thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

from cellar.errors import ReplayExpired, StoreCorrupt
from cellar.ports import Change, Committed, Position, SessionMeta, SessionRecord
from cellar.store.protocol.resp import Command, Reply, items, raw

MOST_ANSWERS = 64
"""Answers that a session keeps: 20 KB with outputs of 64 numbers."""

MOST_MARKS = 32
"""Marks in a field."""

_DIGEST_BYTES, _ENDS = 8, Struct(">I")

_MARK = Struct(f">{_DIGEST_BYTES}sI")
"""digest, end"""

_KEYED = Struct("<8s16s8sQ16sIB")
"""incarnation (scripts read it: bytes 1 to 8), fingerprint, then after: epoch, step, digest; steps, flags"""

KEPT, OF_MODEL = 2, 8
"""Flags: the output is in it; the version that ran the steps is in it."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """The stored answer to a request with an Idempotency-Key."""

    incarnation: bytes
    fingerprint: bytes
    after: Position
    steps: int
    output: bytes | None
    model: str | None = None
    """The version that ran the steps, of a session that followed an alias."""

    def answer(self) -> Committed:
        """Return the answer to a repetition of the request."""
        return Committed(self.after, self.steps, self.output, replayed=True, model=self.model)


def pack_keyed(change: Change, meta: SessionMeta, cap: int) -> bytes:
    """Return the packed answer for the change's Idempotency-Key, without an output over `cap` bytes.

    `meta` are those of the session before the change. If it follows an alias, its version stands before the output: a
    byte with its length, then the reference.
    """
    kept = len(change.output) <= cap
    after = change.after
    model = b"" if meta.following is None else meta.model.encode()
    return _KEYED.pack(
        meta.incarnation,
        change.fingerprint,
        after.epoch,
        after.step,
        after.digest,
        change.steps,
        KEPT * kept | OF_MODEL * bool(model),
    ) + b"".join((bytes([len(model)]) if model else b"", model, change.output if kept else b""))


def unpack_keyed(data: bytes) -> Keyed:
    """Return the stored answer for an Idempotency-Key. Raise StoreCorrupt."""
    if len(data) < _KEYED.size:
        raise StoreCorrupt("a damaged idempotency record")
    incarnation, fingerprint, epoch, step, digest, steps, flags = _KEYED.unpack_from(data)
    begin, model = _KEYED.size, None
    if flags & OF_MODEL:
        begin, end = begin + 1, begin + 1 + data[begin]
        begin, model = end, data[begin:end].decode()
    output = data[begin:] if flags & KEPT else None
    return Keyed(incarnation, fingerprint, Position(epoch, step, digest), steps, output, model)


def key_digest(name: str) -> bytes:
    """Return the digest of an Idempotency-Key."""
    return blake2b(name.encode(), digest_size=_DIGEST_BYTES).digest()


def look_up(answers: bytes, older: bytes, name: str) -> list[Command]:
    """Return the commands whose replies `find_answer` reads, given the two keys for an Idempotency-Key."""
    digest = key_digest(name)
    return [(b"HMGET", answers, b"i", digest, b"b%d" % (digest[0] % 128)), (b"GET", older)]


def find_answer(replies: Sequence[Reply], name: str, record: SessionRecord, now_s: float) -> Keyed | None:
    """Return the answer for an Idempotency-Key, None for a new key. Raise ReplayExpired if it is no longer kept."""
    kept, older = replies
    incarnation, answer, marks = items(kept)
    found = None if older is None else unpack_keyed(raw(older))
    if incarnation != record.meta.incarnation:
        return found
    if answer is not None and _ENDS.unpack_from(raw(answer))[0] > now_s:
        return unpack_keyed(raw(answer)[_ENDS.size :])
    digest = key_digest(name)
    if found is None and any(mark == digest and end > now_s for mark, end in _MARK.iter_unpack(raw(marks or b""))):
        raise forgotten(record.position)
    return found


def forgotten(position: Position) -> ReplayExpired:
    """Return the error for a request that was applied, and whose answer is no longer kept."""
    detail = "the request with this Idempotency-Key was applied, and its answer is older than what can be replayed"
    return ReplayExpired(detail, position=str(position))
