"""Encodes and decodes the answer to a request with an Idempotency-Key, which is kept for repetitions of the request."""

from dataclasses import dataclass
from struct import Struct

from cellar.errors import StoreCorrupt
from cellar.ports import Change, Committed, Position, SessionMeta

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
