"""Positions, digests and fingerprints: how a session's history is named.

A position is `epoch.step.digest`. The digest is a chain over the inputs of the epoch, one link a step, so it is the
same whether n steps came one by one or as one sequence, and two processes compute the same chain from the same inputs:

    d(0)   = blake2b(epoch)                 d(t+1) = blake2b(d(t) || float32 bytes of the inputs of step t)
"""

import re
from hashlib import blake2b
from typing import Any, Literal

import numpy as np

from cellar.errors import InvalidInput
from cellar.ports import Position

Kind = Literal["step", "sequence", "reset", "write"]

DIGEST_BYTES = 16
EPOCH_BYTES = 8
MAX_STEP = 2**53
"""The last step that every client can count to: JavaScript's numbers end here."""

_POSITION = re.compile(r"([0-9a-f]{16})\.(0|[1-9][0-9]{0,15})\.([0-9a-f]{32})")


def parse_position(text: str, *, pointer: str = "/position") -> Position:
    """Read what a client sends back. Raise InvalidInput.

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
    return Position(match[1], int(match[2]), match[3])


def start_of(epoch: str) -> Position:
    """Return the position before the first step of an epoch."""
    return Position(epoch, 0, blake2b(bytes.fromhex(epoch), digest_size=DIGEST_BYTES).hexdigest())


def advance(position: Position, inputs: np.ndarray[Any, np.dtype[np.float32]]) -> Position:
    """Return the position after the steps of `inputs` (T, B, F), float32 and C-contiguous."""
    digest = bytes.fromhex(position.digest)
    steps = inputs.shape[0]
    data = memoryview(inputs.reshape(-1)).cast("B")
    size = inputs.nbytes // steps
    for start in range(0, steps * size, size):
        digest = blake2b(digest + data[start : start + size], digest_size=DIGEST_BYTES).digest()
    return Position(position.epoch, position.step + steps, digest.hex())


def fingerprint(kind: Kind, body: np.ndarray[Any, np.dtype[np.float32]] | None = None) -> bytes:
    """Return 16 bytes that tell this request's body from any other: its kind, its shape and its float32 bytes."""
    shape = () if body is None else body.shape
    digest = blake2b(f"{kind}{shape}".encode(), digest_size=DIGEST_BYTES)
    if body is not None:
        digest.update(body)
    return digest.digest()


def epoch_after(birth: str, mark: bytes) -> str:
    """Return the epoch that a change of the session born as `birth` begins; `mark` identifies the request.

    A request that comes again begins the same epoch again, which is how it is known for a replay.
    """
    return blake2b(bytes.fromhex(birth) + mark, digest_size=EPOCH_BYTES).hexdigest()
