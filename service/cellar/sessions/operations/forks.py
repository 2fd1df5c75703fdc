"""Forks a session: creates other sessions, its children, that begin with its state.

The parent is read once. If the request can be repeated, because it has an Idempotency-Key or a position, the copy that
was read is stored beside the parent. A repetition then creates the same children, even if the parent has changed: their
epochs, and their names if only their number is given, are derived from the request.

Children may be on different servers of a cluster, so each is created by itself. If one cannot be created, the answer
has a problem for it, and a repetition of the request creates those that are missing.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b

from cellar.errors import AlreadyExists, CellarError, FingerprintMismatch, ForkTooLarge, Gone, NotFound
from cellar.ports import Clock, Following, Identity, Position, SessionKey, SessionRecord, SessionStore, SnapshotStore
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.deleted_model import model_deleted
from cellar.sessions.values.position import EPOCH_BYTES, fingerprint, start_of

MAX_CHILDREN = 256
"""The largest number of children of one request."""

AT_ONCE, AT_ONCE_BYTES = 32, 64 * 1024 * 1024
"""Children that are created at the same time, and the bytes of their states together: this bounds the memory."""

MARK_BYTES, NAME_BYTES = 16, 12


@dataclass(frozen=True, slots=True)
class Child:
    """A child with its first position, or with the reason why it could not be created."""

    session: str
    position: Position | None
    problem: CellarError | None


@dataclass(frozen=True, slots=True)
class ForkAnswer:
    """The position of the parent, and the children in the order of the request."""

    position: Position
    children: tuple[Child, ...]
    replayed: bool
    """Whether the request is a repetition."""


class Forks:
    """Forks sessions. Raises as `Sessions`."""

    def __init__(
        self, sessions: Sessions, store: SessionStore, snapshots: SnapshotStore, clock: Clock, *, most_bytes: int
    ) -> None:
        """`most_bytes` limits the states of all children of one request together."""
        self._sessions = sessions
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._most_bytes = most_bytes

    async def fork(
        self, key: SessionKey, children: int | Sequence[str], identity: Identity, *, ttl_s: int | None = None
    ) -> ForkAnswer:
        """Create `children`, given by number or by names, in the state of the session.

        A child has the model, state and options of its parent, and its `ttl_s` unless another is given; it is not
        pinned. Raise a PositionConflict according to the identity, FingerprintMismatch, or ForkTooLarge.
        """
        await self._check_size(key, children)
        body = fingerprint("fork", names=f"{children if isinstance(children, int) else list(children)} {ttl_s}")
        parent, mark, replayed = await self._parent(key, identity, body)
        if parent.meta.deleted is not None:
            raise model_deleted(parent.meta.model)
        parent = await self._sessions.recover(parent)
        names = _names(mark, children) if isinstance(children, int) else children
        meta = replace(
            parent.meta, ttl_s=ttl_s or parent.meta.ttl_s, created_s=self._clock.now_s(), pinned=False, migrated=0
        )
        if (follows := meta.following) is not None:
            meta = replace(meta, following=Following.of(follows.alias, follows.moved_ms, meta.model))
        room = asyncio.Semaphore(max(1, min(AT_ONCE, AT_ONCE_BYTES // max(1, len(parent.state)))))

        async def make(name: str) -> Child:
            """Create one child."""
            incarnation = _digest(parent.meta.incarnation + mark + name.encode(), EPOCH_BYTES)
            record = SessionRecord(
                SessionKey(key.tenant, name),
                replace(meta, incarnation=incarnation),
                start_of(incarnation),
                0,
                parent.state,
            )
            async with room:
                return await self._make(record)

        made = await asyncio.gather(*(make(name) for name in names), return_exceptions=True)
        for child in made:
            if isinstance(child, BaseException):  # an internal fault; the other children are created by now
                raise child
        return ForkAnswer(parent.position, tuple(child for child in made if isinstance(child, Child)), replayed)

    async def _check_size(self, key: SessionKey, children: int | Sequence[str]) -> None:
        """Raise ForkTooLarge before anything is written: a request of some bytes can ask for gigabytes."""
        with suppress(NotFound, Gone):  # a repeated request may still find its stored copy
            size = len((await self._store.load(key)).state)
            count, name = (children, "count") if isinstance(children, int) else (len(children), "names")
            if count * size > self._most_bytes:
                raise ForkTooLarge(
                    f"a fork may write {self._most_bytes} bytes (CELLAR_MAX_FORK_BYTES), and each child has {size}",
                    pointer=f"/{name}",
                    expected=f"at most {self._most_bytes // size}",
                    actual=str(count),
                )

    async def _parent(self, key: SessionKey, identity: Identity, body: bytes) -> tuple[SessionRecord, bytes, bool]:
        """Return the session as this request first read it, an id of the request, and whether it is a repetition."""
        if identity.key is not None:
            mark = _digest(b"key " + identity.key.encode(), MARK_BYTES)
        elif identity.position is not None:
            mark = _digest(f"position {identity.position} ".encode() + body, MARK_BYTES)
        else:
            return await self._store.load(key), os.urandom(MARK_BYTES), False
        held = await self._snapshots.copy_for_request(key, mark, identity.position, body, self._clock.now_s())
        if held.request != body:
            raise FingerprintMismatch("this Idempotency-Key was used to fork the session with another body")
        return held.session, mark, held.replayed

    async def _make(self, child: SessionRecord) -> Child:
        name = child.key.session
        try:
            there = await self._sessions.admit(child, "fork")
        except CellarError as error:
            return Child(name, None, error)
        if there is not None:
            return Child(name, None, AlreadyExists(f"there is another session {name}, of the model {there.meta.model}"))
        return Child(name, child.position, None)


def _names(mark: bytes, count: int) -> list[str]:
    return [_digest(mark + b"%d" % number, NAME_BYTES).hex() for number in range(count)]


def _digest(data: bytes, size: int) -> bytes:
    return blake2b(data, digest_size=size).digest()
