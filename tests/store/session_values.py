"""Records and commits as a runtime would make them, for the tests of the session port."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Literal

import numpy as np

from cellar.ports import APPEND, Change, Commit, Committed, Identity, Position, SessionKey, SessionMeta, SessionRecord
from cellar.sessions.values.position import advance, fingerprint, start_of


def a_record(
    session: str | None = None, *, ttl_s: int = 3600, tenant: str = "default", model: str = "co2@1"
) -> SessionRecord:
    """Return a session that has just been born."""
    incarnation = secrets.token_bytes(8)
    meta = SessionMeta(model, "d" * 64, batch_size=1, kernel_rev=3, ttl_s=ttl_s, created_s=1.5, incarnation=incarnation)
    return SessionRecord(
        SessionKey(tenant, session or secrets.token_hex(6)), meta, start_of(incarnation), 0, b"\0" * 32
    )


def a_change(
    before: Position, *values: float, identity: Identity = APPEND, output: bytes | None = None, **more: Any
) -> Change:
    """Return steps with these inputs (one: a step, several: a sequence) at `before`."""
    inputs = np.array(values, dtype=np.float32).reshape(-1, 1, 1)
    kind: Literal["step", "sequence"] = "step" if len(values) == 1 else "sequence"
    return Change(
        kind=kind,
        before=before,
        after=advance(before, inputs),
        steps=len(values),
        identity=identity,
        fingerprint=fingerprint(kind, inputs),
        nonce=secrets.token_bytes(16),
        output=inputs.tobytes() if output is None else output,
        inputs=inputs.tobytes(),
        **more,
    )


def commit_of(before: SessionRecord, *changes: Change, wanted_pause_s: float = 0.0) -> Commit:
    """Return the commit of these changes, with a state of their own."""
    state = blake2b(b"".join(change.fingerprint for change in changes), digest_size=32).digest()
    return Commit(before, changes, state, wanted_pause_s=wanted_pause_s)


def a_commit(
    before: SessionRecord,
    *values: float,
    identity: Identity = APPEND,
    output: bytes | None = None,
    wanted_pause_s: float = 0.0,
) -> Commit:
    """Return the commit of one request at `before`, see `a_change`."""
    return commit_of(
        before, a_change(before.position, *values, identity=identity, output=output), wanted_pause_s=wanted_pause_s
    )


def a_group(before: SessionRecord, *groups: Sequence[float], identity: Identity = APPEND) -> Commit:
    """Return the commit of several requests, each with its values, one after the other."""
    changes: list[Change] = []
    for values in groups:
        changes.append(a_change(changes[-1].after if changes else before.position, *values, identity=identity))
    return commit_of(before, *changes)


def a_reset(before: SessionRecord, *, identity: Identity = APPEND) -> Commit:
    """Return a change that is not a step: a new epoch."""
    step = a_change(before.position, 0.0, identity=identity, output=b"")
    reset = replace(
        step,
        kind="reset",
        after=start_of(secrets.token_bytes(8)),
        steps=0,
        fingerprint=fingerprint("reset"),
        inputs=b"",
    )
    return commit_of(before, reset)


def after(commit: Commit) -> SessionRecord:
    """Return the session as the commit leaves it."""
    return commit.after


def only(commit: Commit) -> Change:
    """Return the one change of a commit."""
    [change] = commit.changes
    return change


def answered(commit: Commit, *, replayed: bool = True) -> Committed:
    """Return what the one request of a commit is answered."""
    change = only(commit)
    return Committed(change.after, change.steps, change.output, replayed)


def at(position: Position) -> Identity:
    """Return the identity of a request that names its position."""
    return Identity(position=position)
