"""Deletes all sessions that a filter selects, a part at a time; a deletion survives the process that began it."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b

from cellar.errors import FingerprintMismatch, InvalidInput, StoreUnavailable
from cellar.ports import Clock, Deletion, DeletionStore, SessionFilter, SessionKey, SessionStore, SessionSummary
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.random_bytes import random_bytes

logger = logging.getLogger(__name__)

PART = 256
"""Sessions of a part, which takes some milliseconds."""

LEASE_S = 10.0
"""Time after which another process continues a deletion that makes no progress."""

PATIENCE_S = 1.0
"""Time for which a request waits for the end of its deletion."""

RESUME_S = 5.0
"""Seconds between two searches for deletions whose process has died."""

NAME_BYTES = 12


class BulkDeletions:
    """Begins and continues deletions. Every method may raise StoreUnavailable."""

    def __init__(self, store: DeletionStore, listing: SessionStore, sessions: Sessions, clock: Clock) -> None:
        self._store = store
        self._listing = listing
        self._sessions = sessions
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(
        self, tenant: str, wanted: SessionFilter, *, dry_run: bool, key: str | None
    ) -> tuple[Deletion, bool]:
        """Delete the selected sessions, or count them; return the deletion, which may not have ended.

        `key` is the Idempotency-Key of the request: a repeated one is answered with the same deletion, and True. Raise
        InvalidInput without a filter, or FingerprintMismatch.
        """
        if wanted == SessionFilter():
            raise InvalidInput("a filter is needed: prefix, model or idle_s", pointer="/prefix", expected="a filter")
        name = random_bytes(NAME_BYTES) if key is None else blake2b(key.encode(), digest_size=NAME_BYTES).digest()
        asked = Deletion(tenant, name.hex(), wanted, self._clock.now_s(), dry_run)
        begun = await self._store.create(asked)
        if (begun.wanted, begun.dry_run) != (wanted, dry_run):
            raise FingerprintMismatch("this Idempotency-Key was used for another deletion")
        if begun.ended_s is None and await self._store.take(begun, LEASE_S):
            task = self._continue(begun)
            await asyncio.wait([task], timeout=PATIENCE_S)
        return await self._store.get(tenant, asked.deletion), begun.created_s != asked.created_s

    async def get(self, tenant: str, deletion: str) -> Deletion:
        """Return a deletion. Raise DeletionUnknown."""
        return await self._store.get(tenant, deletion)

    async def resume(self, tenant: str) -> None:
        """Continue the deletions that no process continues."""
        for deletion in await self._store.unfinished(tenant):
            if deletion.deletion not in self._tasks and await self._store.take(deletion, LEASE_S):
                self._continue(deletion)

    async def aclose(self) -> None:
        """End the work; another process, or this one when it has started again, continues the deletions."""
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _continue(self, deletion: Deletion) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(deletion), name=f"deletion {deletion.deletion}")
        self._tasks[deletion.deletion] = task
        task.add_done_callback(lambda _: self._tasks.pop(deletion.deletion))
        return task

    async def _run(self, deletion: Deletion) -> None:
        """Delete parts until the end, or until another process continues the deletion."""
        try:
            known: list[SessionSummary] = []
            while deletion.ended_s is None:
                before = deletion
                deletion, known = await self._next(before, known)
                if not await self._store.advance(before, deletion):
                    return
                await self._store.renew(deletion, LEASE_S)
        except StoreUnavailable as error:
            logger.warning("the deletion %s of sessions is continued later: %s", deletion.deletion, error)
        except Exception:
            logger.exception("the deletion %s of sessions has failed", deletion.deletion)
        finally:
            with suppress(StoreUnavailable):
                await asyncio.shield(self._store.renew(deletion, 0))

    async def _next(self, deletion: Deletion, known: list[SessionSummary]) -> tuple[Deletion, list[SessionSummary]]:
        """Do the next half of a part: read it, or delete it. Return the deletion afterwards, and what was read.

        `known` are the sessions of the batch as they were read; empty if another process has read them.
        """
        if not deletion.batch:
            return await self._read(deletion)
        if not known:
            keys = [SessionKey(deletion.tenant, name) for name in deletion.batch]
            known = [each for each in await self._listing.summaries(keys) if deletion.wanted.fits(each)]
        selected: dict[str, SessionSummary | None] = dict.fromkeys(deletion.batch)
        selected |= {each.key.session: each for each in known}
        deleted = await self._store.purge(deletion, selected)
        for key in deleted:
            self._sessions.forget(key)
        done = replace(deletion, batch=(), part=deletion.part + 1, deleted=deletion.deleted + len(deleted))
        return self._ended(done) if not done.cursor else done, []

    async def _read(self, deletion: Deletion) -> tuple[Deletion, list[SessionSummary]]:
        found, cursor = await self._listing.list(deletion.tenant, deletion.cursor, PART, deletion.wanted)
        after = replace(deletion, cursor=cursor, matched=deletion.matched + len(found))
        if deletion.dry_run or not found:
            after = replace(after, part=after.part + 1)
            return self._ended(after) if not cursor else after, []
        return replace(after, batch=tuple(each.key.session for each in found)), found

    def _ended(self, deletion: Deletion) -> Deletion:
        return replace(deletion, ended_s=self._clock.now_s())
