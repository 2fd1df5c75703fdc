"""Plain commits, written at once: of steps that no writer numbers, in a session that keeps nothing but its state.

Nearly all commits are that. What does not change from one commit of a session to the next is packed with the first
one, and the record carries it on; so it does with its head, which one commit writes and the next one asks for. The
bytes are those of `CommitCalls.call` (a test makes sure), which takes 11 us for a commit of one step: this takes 2.
"""

from dataclasses import dataclass
from functools import lru_cache, partial

from cellar.ports import APPEND, Commit, SessionRecord
from cellar.store.commits import Keep
from cellar.store.keys import TOMBSTONE, SessionKeys
from cellar.store.record import ENTRY, ENTRY_BYTES, HEAD_BYTES, KEPT, MOVED_HEAD, ORDERED, head_ends, pack_head
from cellar.store.resp import SIZES
from cellar.store.scripts import Script


class PlainCommits:
    """Writes calls of the commit script (`lua/commit.lua` says what its arguments are)."""

    def __init__(self, script: Script, keys: SessionKeys, keep: Keep) -> None:
        self._keys = keys
        self._window = keep.window
        self._cap = keep.output_cap_bytes
        self._counts = [b"*%d" % (17 + 2 * changes) for changes in range(keep.window + 1)]
        self._name = _arguments(b"EVALSHA", script.sha, b"2")
        self._slots = [_arguments(b"r%d" % index) for index in range(keep.window)]
        self._middles = lru_cache(maxsize=256)(partial(_middles, keep))

    def write(self, commit: Commit) -> bytes | None:
        """Return the call for a commit as it is sent, None if the commit is not plain."""
        before, changes, state = commit.before, commit.changes, commit.state
        packed = before.packed
        if packed is None or packed[1].writer is not self:
            packed = self._know(before)
        head, fixed = packed
        if not fixed.plain or commit.meta is not None or commit.ask_s or len(state) != fixed.state_bytes:
            return None
        count, revision = len(changes), before.revision
        epoch, step, digest = changes[-1].after
        moved = MOVED_HEAD.pack(fixed.born, epoch, step, digest, revision + count, fixed.model)
        parts = [self._counts[count], fixed.keys, head, fixed.middles[count], moved, fixed.state, state]
        window, slots, cap = self._window, self._slots, self._cap
        for change in changes:
            identity, output = change.identity, change.output
            flags = 0
            if identity is not APPEND:
                position, alone, key, writer, _ = identity
                if key is not None or writer is not None:
                    return None
                flags = 0 if position is None and alone is None else ORDERED
            mark = change.fingerprint if flags else change.nonce
            if len(output) <= cap:
                flags |= KEPT
            else:
                output = b""
            epoch, step, digest = change.before
            epoch_after, _, digest_after = change.after
            entry = ENTRY.pack(revision, flags, epoch, step, digest, epoch_after, change.steps, digest_after, mark)
            parts += slots[revision % window], SIZES[ENTRY_BYTES + len(output)], entry, output
            revision += 1
        parts.append(b"\r\n")
        commit.after.packed = moved, fixed
        return b"".join(parts)

    def _know(self, record: SessionRecord) -> "tuple[bytes, _Fixed]":
        meta, size = record.meta, len(record.state)
        plain = not (meta.history or meta.log or meta.events)
        head, name = pack_head(meta, record.position, record.revision), self._keys.record(record.key)
        born, model = head_ends(head)
        keys = self._name + _arguments(name, name + TOMBSTONE) + SIZES[len(head)]
        middles = self._middles(meta.ttl_s, meta.pinned)
        fixed = _Fixed(self, plain, born, model, keys, middles, size, _arguments(b"s") + SIZES[size])
        record.packed = head, fixed
        return head, fixed


@dataclass(slots=True, eq=False)
class _Fixed:
    """What stays as it is from one commit of a session to the next."""

    writer: PlainCommits
    plain: bool
    """Whether its commits are."""
    born: bytes
    """How its heads begin,"""
    model: bytes
    """and how they end."""
    keys: bytes
    """From the name of the command to what stands before the head that the record must have."""
    middles: list[bytes]
    """By the number of changes: what stands between that head and the next."""
    state_bytes: int
    state: bytes
    """What stands before the state."""


def _arguments(*arguments: bytes) -> bytes:
    return b"".join(part for argument in arguments for part in (SIZES[len(argument)], argument))


def _middles(keep: Keep, ttl_s: int, pinned: bool) -> list[bytes]:
    """Return what stands between the two heads of a commit of 0, 1, 2 ... changes."""
    lifetimes = keep.lifetimes(ttl_s, pinned)
    return [
        _arguments(*lifetimes, b"0", b"0", b"%d" % changes, b"%d" % (4 + 2 * changes), b"h") + SIZES[HEAD_BYTES]
        for changes in range(keep.window + 1)
    ]
