"""Checks the identities of requests, and generates unique ids for requests without one."""

import os
from collections.abc import Iterator
from itertools import count, repeat

from cellar.errors import InvalidInput
from cellar.ports import NAME_IN_WORDS, Identity, is_name, shown_name
from cellar.sessions.values.position import MAX_STEP

MAX_KEY = 255
"""The most characters of an Idempotency-Key, enough for several UUIDs."""

NONCE_BYTES, COUNTER_BYTES = 16, 6


def check_identity(identity: Identity) -> None:
    """Raise InvalidInput for an identity that is not allowed."""
    if identity.position is not None and identity.step not in (None, identity.position.step):
        raise InvalidInput("position and step name different steps", pointer="/step")
    if (identity.writer is None) != (identity.seq is None):
        raise InvalidInput("writer and seq come together", pointer="/seq" if identity.seq is None else "/writer")
    if identity.writer is not None:
        _check_writer(identity, identity.writer)
    if identity.key is not None and not 1 <= len(identity.key) <= MAX_KEY:
        raise InvalidInput(f"an Idempotency-Key has 1 to {MAX_KEY} characters")


def _check_writer(identity: Identity, writer: str) -> None:
    if identity.position is not None or identity.step is not None or identity.key is not None:
        raise InvalidInput("a writer's request is recognised by its number, and by nothing besides", pointer="/writer")
    if not is_name(writer):
        actual = shown_name(writer)
        raise InvalidInput("not a name for a writer", pointer="/writer", expected=NAME_IN_WORDS, actual=actual)
    if not 1 <= (identity.seq or 0) <= MAX_STEP:
        raise InvalidInput("out of range", pointer="/seq", expected=f"1 to {MAX_STEP}", actual=str(identity.seq))


def nonces() -> Iterator[bytes]:
    """Return an endless iterator of ids that are unique among all requests of all processes."""
    process = os.urandom(NONCE_BYTES - COUNTER_BYTES)
    return map(process.__add__, map(int.to_bytes, count(), repeat(COUNTER_BYTES), repeat("little")))  # type: ignore[arg-type]  # mypy knows no optional arguments here
