"""Records and commits as a runtime would make them, for the tests of the session port."""

import dataclasses
import secrets
from typing import Any

import numpy as np

from cellar.ports import Commit, Identity, Position, SessionKey, SessionMeta, SessionRecord
from cellar.runtime.positions import advance, fingerprint, start_of

APPEND = Identity()


def a_record(session: str | None = None, *, ttl_s: int = 3600, tenant: str = "default") -> SessionRecord:
    """Return a session that has just been born."""
    birth = secrets.token_hex(8)
    meta = SessionMeta("co2@1", "d" * 64, batch_size=1, kernel_rev=3, ttl_s=ttl_s, created_s=1.5, birth=birth)
    return SessionRecord(SessionKey(tenant, session or secrets.token_hex(6)), meta, start_of(birth), 0, b"\0" * 32)


def a_commit(
    before: SessionRecord, *values: float, identity: Identity = APPEND, output: bytes | None = None, **more: Any
) -> Commit:
    """Return the commit of steps with these inputs (one: a step, several: a sequence) at `before`."""
    inputs = np.array(values, dtype=np.float32).reshape(-1, 1, 1)
    return Commit(
        before=before,
        position=advance(before.position, inputs),
        state=fingerprint("step", inputs) * 2,
        steps=len(values),
        identity=identity,
        fingerprint=fingerprint("step" if len(values) == 1 else "sequence", inputs),
        nonce=secrets.token_bytes(16),
        output=inputs.tobytes() if output is None else output,
        **more,
    )


def a_reset(before: SessionRecord, *, identity: Identity = APPEND) -> Commit:
    """Return a change that is not a step: a new epoch."""
    commit = a_commit(before, 0.0, identity=identity, output=b"")
    return dataclasses.replace(
        commit, position=start_of(secrets.token_hex(8)), steps=0, fingerprint=fingerprint("reset")
    )


def after(commit: Commit) -> SessionRecord:
    """Return the session as the commit leaves it."""
    before = commit.before
    return SessionRecord(before.key, before.meta, commit.position, before.revision + 1, commit.state)


def at(position: Position) -> Identity:
    """Return the identity of a request that names its position."""
    return Identity(position=position)
