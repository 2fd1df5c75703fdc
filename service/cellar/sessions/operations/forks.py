"""Forks: sessions that begin with the state of another one.

The parent is read once. A request that can come again, because it has an Idempotency-Key or names a position, leaves
what it has read beside the parent, so that it makes the same children when it does, wherever the parent is by then:
their names, if it only says how many, and their epochs follow from the request. Each child is made if it is not there,
on its own, for they may live on different servers; one that cannot be made has a problem, and the same request again
makes those that are missing.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b

from cellar.errors import AlreadyExists, CellarError, FingerprintMismatch, ForkTooLarge, Gone, NotFound
from cellar.ports import Clock, Identity, Position, SessionKey, SessionRecord, SessionStore, SnapshotStore
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.deleted_model import model_deleted
from cellar.sessions.values.position import EPOCH_BYTES, fingerprint, start_of

MAX_CHILDREN = 256
"""Children of one request."""

AT_ONCE, AT_ONCE_BYTES = 32, 64 * 1024 * 1024
"""Children made at a time, and how much state they may have in all: that much memory, whatever is asked."""

MARK_BYTES, NAME_BYTES = 16, 12


@dataclass(frozen=True, slots=True)
class Child:
    """A child and where it began, or what has kept it from beginning."""

    session: str
    position: Position | None
    problem: CellarError | None


@dataclass(frozen=True, slots=True)
class ForkAnswer:
    """Where the parent was, and the children in the order of the request."""

    position: Position
    children: tuple[Child, ...]
    replayed: bool
    """Whether the same request had come before."""


class Forks:
    """Makes children of sessions. Raises as `Sessions`."""

    def __init__(
        self, sessions: Sessions, store: SessionStore, snapshots: SnapshotStore, clock: Clock, *, most_bytes: int
    ) -> None:
        """Make children whose states have at most `most_bytes` together, by one request."""
        self._sessions = sessions
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._most_bytes = most_bytes

    async def fork(
        self, key: SessionKey, children: int | Sequence[str], identity: Identity, *, ttl_s: int | None = None
    ) -> ForkAnswer:
        """Make so many children, or those of these names, of the session as it is, or as it is at `position`.

        A child has its parent's model, state and options, and may expire; `ttl_s` is its parent's unless given. Raise
        the PositionConflict that the identity deserves, FingerprintMismatch, or ForkTooLarge.
        """
        await self._check_size(key, children)
        body = fingerprint("fork", names=f"{children if isinstance(children, int) else list(children)} {ttl_s}")
        parent, mark, replayed = await self._parent(key, identity, body)
        if parent.meta.deleted is not None:
            raise model_deleted(parent.meta.model)
        names = _names(mark, children) if isinstance(children, int) else children
        meta = replace(
            parent.meta, ttl_s=ttl_s or parent.meta.ttl_s, created_s=self._clock.now_s(), pinned=False, migrated=0
        )
        room = asyncio.Semaphore(max(1, min(AT_ONCE, AT_ONCE_BYTES // max(1, len(parent.state)))))

        async def make(name: str) -> Child:
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
            if isinstance(child, BaseException):  # a fault of our own: the others are made by now
                raise child
        return ForkAnswer(parent.position, tuple(child for child in made if isinstance(child, Child)), replayed)

    async def _check_size(self, key: SessionKey, children: int | Sequence[str]) -> None:
        """Raise ForkTooLarge before anything is written: a request of some bytes may ask for gigabytes."""
        with suppress(NotFound, Gone):  # what the request came for before may still be held
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
        """Return the session as it was when this request came first, what tells the request from others, and whether
        it came before."""
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
