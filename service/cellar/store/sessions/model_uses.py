"""Records in Redis which sessions depend on a model version, and finds them: to list, to count and to mark them.

A name is added to the index (`model_index.py`) before the session depends on the version, and `confirm` then checks
that the version still exists. So a process that deletes the version, and reads the index afterwards, finds every
session whose creation or migration succeeded. The session itself is read each time, and names of sessions that do not
depend on the version are removed.

Version numbers are never used again, so a set of the index belongs to one version.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

import orjson

from cellar.errors import StoreCorrupt
from cellar.ports import DeletedModel, Dependents, ModelVersion, SessionFilter, SessionKey, SessionSummary
from cellar.store.catalogue.models import load_version
from cellar.store.connection.retry import CommandOutcome, RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, Reply, items, raw
from cellar.store.protocol.script import load_script
from cellar.store.sessions.index import MOST_EXAMINED, SAMPLED, SessionIndex, cursor_behind, name_behind
from cellar.store.sessions.model_index import ModelIndex
from cellar.store.sessions.record_codec import model_mark, needs_redo, pack_meta, unpack_head

USE, FENCE = load_script("model/use"), load_script("session/fence")
DEPENDENCIES = load_script("session/dependencies")

AT_ONCE = 256
"""Most sessions that are read in one call."""

COUNTED = 10_000
"""Sessions that are read to count those of a version; further names are counted without reading the session."""

INDEX_S = 0.2
"""Seconds between two times at which sessions are added to the index; an empty store has all after the first."""

COMPLETED_S = 0.05
"""Time for which sessions are added to the index at once, so that others wait no longer for the event loop."""


@dataclass(frozen=True, slots=True)
class _Depends:
    """The versions that a session depends on, by reference. `model` is "" if there is no session."""

    key: SessionKey
    head: bytes
    meta: bytes
    model: str
    alias: str
    """The alias that it follows, "" if none."""
    shadow: str
    snapshots: Sequence[str]

    def on(self, ref: str) -> bool:
        """Return whether the session depends on that version."""
        return ref in (self.model, self.shadow) or ref in self.snapshots


class RedisModelUses:
    """Implements `cellar.ports.ModelUses`."""

    def __init__(self, router: Router, *, prefix: str) -> None:
        self._client = RetryingClient(router)
        self._keys = SessionKeys(prefix)
        self._listing = SessionIndex(self._client, self._keys)
        self._index = ModelIndex(self._client, self._keys, self._listing)

    async def enlist(self, key: SessionKey, ref: str) -> None:
        """Record that the session is about to depend on a version. Raise StoreUnavailable."""
        for answer in await self._client.execute(self.enlisting([key], ref)):
            answer.result()

    def enlisting(self, keys: Sequence[SessionKey], ref: str) -> list[Command]:
        """Return the commands that record that sessions of one tenant depend on a version."""
        return self._index.add(keys[0].tenant, ref, [key.session.encode() for key in keys])

    async def confirm(self, key: SessionKey, ref: str, *, runs: bool = True) -> bool:
        """Return whether the version exists, and record a use of it. Raise StoreUnavailable."""
        commands = [*self.enlisting([key], ref), use(self._keys, key.tenant, ref)]
        if runs:  # what is known of the session when it has expired
            commands.insert(0, (b"SET", self._keys.tombstone(key), ref.encode(), b"XX", b"KEEPTTL"))
        *_, used = [answer.result() for answer in await self._client.execute(commands)]
        await self.tidy(key.tenant, ref)
        return used == 1

    async def version(self, tenant: str, ref: str) -> ModelVersion | None:
        """Return the version that `name` or `name@3` means now, without tags and description; None if there is none.

        Raise StoreUnavailable or StoreCorrupt.
        """
        name, _, number = ref.partition("@")
        newest, versions = self._keys.versions(tenant, name)
        asked: Reply = number.encode()
        if not asked:
            (asked,) = await self._client.read([(b"HGET", newest, name.encode())])
        if asked is None:
            return None
        (record,) = await self._client.read([(b"HGET", versions, raw(asked))])
        return None if record is None else load_version(tenant, int(raw(asked)), raw(record))

    async def count(self, tenant: str, ref: str, moved: Collection[str] = ()) -> Dependents:
        """Count what depends on a version, except for sessions that follow one of the aliases `moved`.

        These depend on it too as long as their states have to be computed by it.

        Raise StoreUnavailable or StoreCorrupt.
        """
        sessions = shadows = snapshots = looked_at = 0
        async for some in self._looks(tenant, ref):
            sessions += sum(each.model == ref and (each.alias not in moved or needs_redo(each.head)) for each in some)
            shadows += sum(each.shadow == ref for each in some)
            snapshots += sum(list(each.snapshots).count(ref) for each in some)
            looked_at += len(some)
            if looked_at >= COUNTED:
                left = await self._index.count(tenant, ref) - looked_at
                return Dependents(sessions + max(0, left), shadows, snapshots)
        return Dependents(sessions, shadows, snapshots)

    async def fence(self, tenant: str, ref: str, deleted: DeletedModel) -> list[SessionKey]:
        """Mark all sessions of a version, and return those that have a shadow of it. Raise as `count`."""
        shadowed: list[SessionKey] = []
        async for some in self._looks(tenant, ref):
            waiting = [each for each in some if each.model == ref]
            while waiting := await self._fence(waiting, ref, deleted):
                pass
            shadowed += [each.key for each in some if each.shadow == ref]
        return shadowed

    async def fence_one(self, key: SessionKey, ref: str, deleted: DeletedModel) -> bool:
        """Mark one session, if it is of that version; return whether it is. Raise as `count`."""
        waiting = [each for each in await self._look([key]) if each.model == ref]
        there = bool(waiting)
        while waiting := await self._fence(waiting, ref, deleted):
            pass
        return there

    async def _fence(self, sessions: Sequence[_Depends], ref: str, deleted: DeletedModel) -> list[_Depends]:
        """Mark sessions, and return those whose metadata changed meanwhile and that are still of the version."""
        commands: list[Command] = []
        for each in sessions:
            meta, _, _ = unpack_head(each.head, each.meta)
            marked = pack_meta(replace(meta, deleted=deleted))
            mark = model_mark(meta.model_digest, deleted=True)
            commands.append(FENCE.call([self._keys.record(each.key)], each.meta, marked, mark))
        answers = [answer.result() for answer in await self._client.execute(commands)] if commands else []
        moved = [each.key for each, answer in zip(sessions, answers, strict=True) if isinstance(answer, bytes)]
        looks = await self._look(moved) if moved else []
        return [each for each in looks if each.model == ref and unpack_head(each.head, each.meta)[0].deleted is None]

    async def _looks(self, tenant: str, ref: str) -> AsyncIterator[list[_Depends]]:
        """Yield the dependencies of sessions in the set of the version, in batches."""
        while not await self.complete_some(tenant):
            pass
        await self._index.absorb(tenant, ref)
        last, over = "", False
        while not over:
            names, over = await self._index.names(tenant, [ref], last, AT_ONCE)
            if names:
                last = names[-1]
                yield await self._look([SessionKey(tenant, name) for name in names], ref)

    async def _look(self, keys: Sequence[SessionKey], ref: str | None = None) -> list[_Depends]:
        """Return the dependencies of sessions; remove those from the set of `ref` that do not depend on it.

        Records that cannot be read are left out and stay as they are: such sessions cannot run on any model.
        """
        answers = await self._client.execute([self._depends(key) for key in keys])
        found = [each for each in map(_read, keys, answers) if each is not None]
        if ref is not None:
            await self.take_off([each.key for each in found if not each.on(ref)], ref)
        return found

    async def take_off(self, keys: Sequence[SessionKey], ref: str) -> None:
        """Remove names from a set, and add those again whose session depends on the version by now."""
        if not keys:
            return
        await self._index.remove(keys, ref)
        back = [each.key for each in await self._look(keys) if each.on(ref)]
        if back:
            await self._client.execute(self.enlisting(back, ref))

    async def tidy(self, tenant: str, ref: str, names: int = SAMPLED) -> bool:
        """Check some names of the set of a version; remove those without a record, and return whether any had none."""
        some = await self._index.some(tenant, ref, names)
        gone = await self._listing.without_record(some) if some else []
        await self.take_off(gone, ref)
        return bool(gone)

    async def page(
        self, tenant: str, cursor: str, limit: int, wanted: SessionFilter
    ) -> tuple[list[SessionSummary], str] | None:
        """Return a page of the sessions of a model (`SessionIndex.page`); None if it cannot be read from the index.

        It cannot while the sessions of an older version of Cellar are not in it, nor can the rest of a list that was
        begun before. Raise InvalidInput.
        """
        last = name_behind(cursor)
        if wanted.model is None or last is None or not await self._index.is_complete(tenant):
            return None
        refs = await self._refs(tenant, wanted.model, first=not last)
        found: list[SessionSummary] = []
        examined, over = 0, not refs
        while not over and len(found) < limit and examined < MOST_EXAMINED:
            names, over = await self._index.names(tenant, refs, last, limit - len(found), wanted.prefix)
            names, over = names[: limit - len(found)], over and len(names) <= limit - len(found)
            found += await self._fitting([SessionKey(tenant, name) for name in names], refs, wanted)
            last, examined = names[-1] if names else last, examined + len(names)
        return found, "" if over else cursor_behind(last)

    async def _refs(self, tenant: str, model: str, *, first: bool) -> list[str]:
        """Return the versions that a filter by model may mean; at the first page forget those without sessions."""
        name, _, version = model.partition("@")
        if version.isdecimal():
            await self._index.absorb(tenant, model)
            return [model]
        refs = await self._index.versions(tenant, name)
        if first:
            await self._index.forget_empty(tenant, refs)
        return refs

    async def _fitting(
        self, keys: Sequence[SessionKey], refs: Sequence[str], wanted: SessionFilter
    ) -> list[SessionSummary]:
        """Return those of the sessions that are wanted; remove those without a record from the sets."""
        summaries = await self._listing.summaries(keys)
        if len(summaries) < len(keys):
            there = {summary.key for summary in summaries}
            for ref in refs:
                await self.take_off([key for key in keys if key not in there], ref)
        left = [each.key for each in summaries if wanted.model == refs[0] != each.meta.model]
        if left:
            await self._look(left, refs[0])
        return [summary for summary in summaries if wanted.fits(summary)]

    async def complete_some(self, tenant: str) -> bool:
        """Add some sessions that older versions of Cellar created to the index; return whether all are in it."""
        return await self._index.complete_some(tenant, self._references)

    async def complete(self, tenants: Iterable[str]) -> None:
        """Do so for a short time. Raise StoreUnavailable."""
        until_s = monotonic() + COMPLETED_S
        for tenant in tenants:
            while not await self.complete_some(tenant) and monotonic() < until_s:
                pass

    async def _references(self, keys: Sequence[SessionKey]) -> list[tuple[SessionKey, set[str]]]:
        return [(each.key, {each.model, each.shadow, *each.snapshots} - {""}) for each in await self._look(keys)]

    def _depends(self, key: SessionKey) -> Command:
        keys = (self._keys.record(key), self._keys.snapshots(key), self._keys.shadow(key))
        return DEPENDENCIES.call(keys)


def use(keys: SessionKeys, tenant: str, ref: str) -> Command:
    """Return the call that records a use of a version; its reply is 0 if the version was deleted."""
    name, _, version = ref.partition("@")
    return USE.call(keys.model(tenant, name), name.encode(), version.encode())


def _read(key: SessionKey, answer: CommandOutcome) -> _Depends | None:
    """Return the dependencies of a session, None if its record cannot be read. Raise StoreUnavailable."""
    try:
        reply = answer.result()
        if reply is None:
            return _Depends(key, b"", b"", "", "", "", ())
        head, meta, shadow, *copies = [raw(part) for part in items(reply)]
        found, _, _ = unpack_head(head, meta)
        alias = "" if found.following is None else found.following.alias
        return _Depends(key, head, meta, found.model, alias, _shadowing(shadow), [_model(copy) for copy in copies])
    except StoreCorrupt:
        return None


def _model(meta: bytes) -> str:
    try:
        return str(orjson.loads(meta)[0])
    except (ValueError, TypeError, LookupError) as error:
        raise StoreCorrupt("a session record with damaged metadata") from error


def _shadowing(packed: bytes) -> str:
    """Return the version of a shadow, "" if there is none or it has stopped."""
    if not packed:
        return ""
    try:
        found = orjson.loads(packed)
        return "" if found["stopped"] is not None else str(found["model"])
    except (ValueError, TypeError, LookupError) as error:
        raise StoreCorrupt("a damaged shadow of a session") from error
