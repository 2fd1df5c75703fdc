"""Creates sessions, many in one call to the store: those that are asked for together go in one write.

The names of a session are added to the listing and to the index by model before its record is created, and again
afterwards, so that every session is found. The use of its model is recorded last: if the model was deleted meanwhile,
the session is deleted again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import NamedTuple

from cellar.errors import CellarError, ModelDeleted
from cellar.ports import Origin, SessionKey, SessionRecord, SessionSummary
from cellar.store.connection.retry import CommandOutcome, RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import TOMBSTONE, SessionKeys
from cellar.store.protocol.resp import Command, items, raw
from cellar.store.protocol.script import load_script
from cellar.store.sessions.commits.command import Retention, first_entries, leftovers
from cellar.store.sessions.index import SAMPLED, SessionIndex
from cellar.store.sessions.model_uses import RedisModelUses, use
from cellar.store.sessions.record_codec import pack_head, pack_meta, unpack_head

CREATE = load_script("session/create")

TIDY_AFTER = 16
"""Sessions that are created before names are checked: one check of many names costs less than many of a few."""

Created = SessionSummary | CellarError | None
"""None for a session that was created, the session that has its name, or the error that prevented it."""


class NewSession(NamedTuple):
    """A session to create; `layout` describes its state and `origin` how it was made."""

    record: SessionRecord
    layout: str | None = None
    origin: Origin = "create"


class _Waiting(NamedTuple):
    new: NewSession
    future: asyncio.Future[Created]


class SessionCreator:
    """Creates sessions in groups. `delete` deletes a session with the given incarnation."""

    def __init__(
        self,
        router: Router,
        client: RetryingClient,
        keys: SessionKeys,
        retention: Retention,
        listing: SessionIndex,
        uses: RedisModelUses,
        delete: Callable[[SessionKey, bytes], Awaitable[bool]],
    ) -> None:
        self._router = router
        self._client = client
        self._keys = keys
        self._lifetimes = lru_cache(maxsize=1024)(retention.lifetimes)
        self._listing = listing
        self._uses = uses
        self._delete = delete
        self._waiting: list[_Waiting] = []
        """The sessions that were asked for in this turn of the event loop."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._untidied = 0

    async def create(self, new: NewSession) -> SessionSummary | None:
        """Create one session, together with others that are asked for in the same turn of the event loop.

        In a cluster each goes alone, so that a server which does not answer delays no session that is not on it.
        """
        future: asyncio.Future[Created] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            task = asyncio.create_task(self._create_waiting())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._waiting.append(_Waiting(new, future))
        found = await future
        if isinstance(found, CellarError):
            raise found
        return found

    async def _create_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        groups: dict[str, list[_Waiting]] = {}
        for at, each in enumerate(waiting):
            group = each.new.record.key.tenant if self._is_one_server([each.new]) else str(at)
            groups.setdefault(group, []).append(each)
        if len(groups) == 1:  # nearly always: one task less
            return await self._create_and_answer(waiting)
        await asyncio.gather(*map(self._create_and_answer, groups.values()))
        return None

    async def _create_and_answer(self, waiting: Sequence[_Waiting]) -> None:
        try:
            found = await self.create_all([each.new for each in waiting])
        except Exception as error:
            for each in waiting:
                if not each.future.done():
                    each.future.set_exception(error)
            return
        for each, outcome in zip(waiting, found, strict=True):
            if not each.future.done():
                each.future.set_result(outcome)

    async def create_all(self, group: Sequence[NewSession]) -> list[Created]:
        """Create sessions of one tenant with different names; return the outcome of each."""
        if not group:
            return []
        named = self._naming(group)
        creates = [self._create(new) for new in group]
        refs = sorted({new.record.meta.model for new in group})
        uses = [use(self._keys, group[0].record.key.tenant, ref) for ref in refs]
        one_server = self._is_one_server(group)
        before, created, after = await self._send(named, creates, [*named, *uses], one_server=one_server)
        failed = next((each.reply for each in (*before, *after) if isinstance(each.reply, CellarError)), None)
        found = [self._outcome(new, each) for new, each in zip(group, created, strict=True)]
        if failed is not None:
            return [each if isinstance(each, CellarError) else failed for each in found]
        gone = {ref for ref, each in zip(refs, after[len(named) :], strict=True) if each.reply == 0}
        for at, new in enumerate(group):
            if found[at] is None and new.record.meta.model in gone:
                found[at] = await self._withdraw(new.record)
        await self._tidy(group)
        return found

    async def _send(
        self, before: Sequence[Command], creates: Sequence[Command], after: Sequence[Command], *, one_server: bool
    ) -> tuple[list[CommandOutcome], list[CommandOutcome], list[CommandOutcome]]:
        """Send three parts, each after the one before: in one write if they go to one server."""
        if one_server:
            found = await self._client.execute([*before, *creates, *after], in_order=True)
            first, last = len(before), len(before) + len(creates)
            return found[:first], found[first:last], found[last:]
        named = await self._client.execute(before)
        if any(isinstance(each.reply, CellarError) for each in named):
            return named, [named[0]] * len(creates), []
        return named, await self._client.execute(creates), await self._client.execute(after)

    def _is_one_server(self, group: Sequence[NewSession]) -> bool:
        keys, first = self._keys, group[0].record.key
        places: list[Callable[[], bytes]] = [partial(keys.record, new.record.key) for new in group[:2]]
        places += [partial(keys.bucket_of, first), partial(keys.depended, first.tenant)]
        return len(self._router.parts(len(places), lambda at: places[at]())) == 1

    def _naming(self, group: Sequence[NewSession]) -> list[Command]:
        buckets: dict[bytes, list[SessionKey]] = {}
        by_ref: dict[str, list[SessionKey]] = {}
        for new in group:
            key = new.record.key
            buckets.setdefault(self._keys.bucket_of(key), []).append(key)
            by_ref.setdefault(new.record.meta.model, []).append(key)
        commands: list[Command] = [
            (b"ZADD", bucket, *[part for key in keys for part in (b"0", key.session.encode())])
            for bucket, keys in buckets.items()
        ]
        for ref, keys in by_ref.items():
            commands += self._uses.enlisting(keys, ref)
        return commands

    def _create(self, new: NewSession) -> Command:
        record, meta = new.record, new.record.meta
        ttl_ms, _, life_ms = self._lifetimes(meta.ttl_s, meta.pinned)
        own = self._keys.record(record.key)
        keys = [own, own + TOMBSTONE, *leftovers(own)]
        fields = (pack_head(meta, record.position, record.revision), pack_meta(meta), record.state)
        streams = [part for entry in first_entries(*new) for part in (b"%d" % len(entry), *entry)]
        return CREATE.call(keys, *fields, ttl_ms, life_ms, *streams)

    def _outcome(self, new: NewSession, answer: CommandOutcome) -> Created:
        if isinstance(answer.reply, CellarError):
            return answer.reply
        if answer.reply == 0:
            return None
        try:
            head, found, left_ms = items(answer.reply)
            assert isinstance(left_ms, int)
            there, position, _ = unpack_head(raw(head), raw(found))
        except CellarError as error:
            return error
        if there.incarnation == new.record.meta.incarnation:  # an earlier sending created it, and its reply was lost
            return None
        return SessionSummary(new.record.key, there, position, left_ms / 1000)

    async def _withdraw(self, record: SessionRecord) -> CellarError:
        """Delete a session whose model was deleted meanwhile; return the error."""
        try:
            await self._delete(record.key, record.meta.incarnation)
        except CellarError as error:
            return error
        return ModelDeleted(f"the model {record.meta.model} was deleted while the session was created")

    async def _tidy(self, group: Sequence[NewSession]) -> None:
        """Check some names, and remove those of sessions that are gone. Errors concern no session that was created."""
        self._untidied += len(group)
        if self._untidied < TIDY_AFTER:
            return
        key, ref = group[-1].record.key, group[-1].record.meta.model
        self._untidied = 0
        with suppress(CellarError):
            for names in (TIDY_AFTER, SAMPLED * TIDY_AFTER):
                checks = [self._listing.tidy(key, names), self._uses.tidy(key.tenant, ref, names)]
                if not any(await asyncio.gather(*checks)):
                    break
