"""Parses and advances positions, and computes the digests and fingerprints in them.

A position is `epoch.step.digest`. The digest is a chain over the inputs of the epoch, one link for each step. It is the
same for n single steps and for a sequence of n steps, and two processes compute the same chain from the same inputs:

    d(0)   = blake2b(epoch)                 d(t+1) = blake2b(d(t) || float32 bytes of the inputs of step t)

If rows are reset before a step or left out of it, a byte for each row follows its inputs: 1 for a row that is reset, 2
for one that is left out, whose inputs are 0, and 0 for the others.
"""

import re
from hashlib import blake2b
from typing import Literal

from cellar.errors import InvalidInput
from cellar.ports import DIGEST_BYTES, Floats, Position, RowFlags
from cellar.sessions.values.digest_chain import DIGEST_CHAIN

_Usual = Literal["step", "sequence", "reset", "write", "restore", "settings", "fork", "rewind", "migrate", "follow"]
Kind = _Usual | Literal["learn", "forget"]

EPOCH_BYTES = 8
MAX_STEP = 2**53
"""The largest step that every client can represent: the largest exact integer of JavaScript."""

_make = tuple.__new__
"""Creates a Position in a third of the time of a call of the class."""

_POSITION = re.compile(r"([0-9a-f]{16})\.(0|[1-9][0-9]{0,15})\.([0-9a-f]{32})")


def parse_position(text: str, *, pointer: str = "/position") -> Position:
    """Parse the text of a position. Raise InvalidInput.

    >>> parse_position("0123456789abcdef.7.000102030405060708090a0b0c0d0e0f").step
    7
    """
    match = _POSITION.fullmatch(text)
    if match is None or int(match[2]) > MAX_STEP:
        raise InvalidInput(
            "not a position: send back, unchanged, the one that an answer carried",
            pointer=pointer,
            expected="epoch.step.digest",
            actual=text[:80],
        )
    return Position(bytes.fromhex(match[1]), int(match[2]), bytes.fromhex(match[3]))


def start_of(epoch: bytes) -> Position:
    """Return the position before the first step of an epoch."""
    return Position(epoch, 0, blake2b(epoch, digest_size=DIGEST_BYTES).digest())


def advance(position: Position, inputs: Floats, flags: RowFlags | None = None) -> Position:
    """Return the position after the steps (T, B, F), float32; `flags` are those of rows in the first steps."""
    epoch, step, digest = position
    steps = len(inputs)
    data = inputs.tobytes()
    if steps == 1 and flags is None:
        return _make(Position, (epoch, step + 1, blake2b(digest + data, digest_size=DIGEST_BYTES).digest()))
    left = steps
    if flags is not None:
        size, left = len(data) // steps, steps - len(flags)
        for at, row_flags in enumerate(flags):
            marks = row_flags.tobytes() if row_flags.any() else b""
            digest = blake2b(digest + data[at * size : (at + 1) * size] + marks, digest_size=DIGEST_BYTES).digest()
        data = data[len(flags) * size :]
    return Position(epoch, step + steps, DIGEST_CHAIN.last(digest, data, left) if left else digest)


def each_digest(position: Position, inputs: Floats) -> bytes:
    """Return the digests after each of the steps of `inputs` (T, B, F), float32 and C-contiguous, joined."""
    return DIGEST_CHAIN.each(position.digest, inputs.tobytes(), len(inputs))


def fingerprint(kind: Kind, *bodies: Floats | RowFlags, names: str = "") -> bytes:
    """Return a hash of 16 bytes of a request's body: its kind, names, and the shapes and bytes of its arrays."""
    shapes = [body.shape for body in bodies]
    digest = blake2b(f"{kind}{names}{shapes}".encode(), digest_size=DIGEST_BYTES)
    for body in bodies:
        digest.update(body.data)
    return digest.digest()


def step_fingerprints(inputs: Floats) -> bytes:
    """Return the fingerprints of the steps of `inputs` (T, B, F) as single requests, joined."""
    begun = blake2b(f"step{[(1, *inputs.shape[1:])]}".encode(), digest_size=DIGEST_BYTES)
    found = []
    for step in inputs:
        digest = begun.copy()
        digest.update(step.data)
        found.append(digest.digest())
    return b"".join(found)


def new_epoch(incarnation: bytes, before: Position, mark: bytes) -> bytes:
    """Return the epoch that a change at `before` begins, and no other one; `mark` identifies the request."""
    return blake2b(f"{incarnation.hex()} {before} ".encode() + mark, digest_size=EPOCH_BYTES).digest()
