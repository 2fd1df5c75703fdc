"""Records in Redis which sessions depend on a model version: a set of session names for each version.

A name is added before the session depends on the version, and `confirm` then checks that the version still exists. So a
process that deletes the version, and reads the set afterwards, finds every session whose creation or migration
succeeded. A name may stay after the session has left the version or expired: the session itself is read each time, and
names of sessions that do not depend on the version are removed.

Version numbers are never used again, so a set belongs to one version and is deleted with it.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace

import orjson

from cellar.errors import StoreCorrupt
from cellar.ports import DeletedModel, Dependents, SessionKey
from cellar.store.connection.retry import CommandOutcome, RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, items, number, raw, text
from cellar.store.protocol.script import load_script
from cellar.store.sessions.index import SessionIndex
from cellar.store.sessions.record_codec import model_mark, pack_meta, unpack_head

USE, FENCE = load_script("model/use"), load_script("session/fence")
DEPENDENCIES = load_script("session/dependencies")

AT_ONCE = 256
"""Most sessions that are read in one call."""

COUNTED = 10_000
"""Sessions that are read to count those of a version; further names are counted without reading the session."""

TIDIED = 4
"""Names that are checked with each session that begins to depend on a version."""


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

    async def enlist(self, key: SessionKey, ref: str) -> None:
        """Record that the session is about to depend on a version. Raise StoreUnavailable."""
        (await self._client.execute([enlist(self._keys, key, ref)]))[0].result()

    async def confirm(self, key: SessionKey, ref: str) -> bool:
        """Return whether the version exists, and record a use of it. Raise StoreUnavailable."""
        again, used = await self._client.execute([enlist(self._keys, key, ref), use(self._keys, key.tenant, ref)])
        again.result()
        await self.tidy(key.tenant, ref)
        return used.result() == 1

    async def count(self, tenant: str, ref: str, moved: Collection[str] = ()) -> Dependents:
        """Count what depends on a version, except for sessions that follow one of the aliases `moved`.

        Raise StoreUnavailable or StoreCorrupt.
        """
        sessions = shadows = snapshots = looked_at = 0
        async for some in self._looks(tenant, ref):
            sessions += sum(each.model == ref and each.alias not in moved for each in some)
            shadows += sum(each.shadow == ref for each in some)
            snapshots += sum(list(each.snapshots).count(ref) for each in some)
            looked_at += len(some)
            if looked_at >= COUNTED:
                (size,) = await self._client.read([(b"SCARD", self._keys.dependents(tenant, ref))])
                return Dependents(sessions + max(0, number(size) - looked_at), shadows, snapshots)
        return Dependents(sessions, shadows, snapshots)

    async def fence(self, tenant: str, ref: str, deleted: DeletedModel) -> list[SessionKey]:
        """Mark all sessions of a version, and return those that have a shadow of it. Raise as `count`."""
        shadowed: list[SessionKey] = []
        async for some in self._looks(tenant, ref):
            waiting = [each for each in some if each.model == ref]
            while waiting := await self._fence(waiting, ref, deleted):
                pass
            shadowed += [each.key for each in some if each.shadow == ref]
        (await self._client.execute([(b"UNLINK", self._keys.dependents(tenant, ref))]))[0].result()
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
        """Yield the dependencies of sessions in the set of the version, in batches, each session at least once."""
        await self._complete_sets(tenant)
        cursor, seen = b"0", set[bytes]()
        while True:
            scan = (b"SSCAN", self._keys.dependents(tenant, ref), cursor, b"COUNT", b"%d" % AT_ONCE)
            cursor, names = items((await self._client.read([scan]))[0])
            new = [name for name in dict.fromkeys(items(names)) if name not in seen]
            seen |= set(new)
            for start in range(0, len(new), AT_ONCE):
                keys = [SessionKey(tenant, text(name)) for name in new[start : start + AT_ONCE]]
                yield await self._look(keys, ref)
            if raw(cursor) == b"0":
                return

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
        names = [key.session.encode() for key in keys]
        await self._client.execute([(b"SREM", self._keys.dependents(keys[0].tenant, ref), *names)])
        back = [each.key for each in await self._look(keys) if each.on(ref)]
        if back:
            await self._client.execute([enlist(self._keys, key, ref) for key in back])

    async def tidy(self, tenant: str, ref: str) -> None:
        """Check a few names of a set, and remove those of sessions that do not depend on the version."""
        command = (b"SRANDMEMBER", self._keys.dependents(tenant, ref), b"%d" % TIDIED)
        names = items((await self._client.read([command]))[0])
        if names:
            await self._look([SessionKey(tenant, text(name)) for name in names], ref)

    async def _complete_sets(self, tenant: str) -> None:
        """Add the sessions that older versions of Cellar created without these sets, once.

        Whether that was done is read from the store each time, because the store may have been restored from a backup.
        """
        (done,) = await self._client.read([(b"EXISTS", self._keys.enlisted(tenant))])
        cursor = ""
        while not done:
            keys, cursor = await self._listing.next_names(tenant, cursor)
            commands = [
                enlist(self._keys, each.key, ref)
                for each in (await self._look(keys) if keys else [])
                for ref in {each.model, each.shadow, *each.snapshots} - {""}
            ]
            if commands:
                await self._client.execute(commands)
            if not cursor:
                await self._client.execute([(b"SET", self._keys.enlisted(tenant), b"")])
                break

    def _depends(self, key: SessionKey) -> Command:
        keys = (self._keys.record(key), self._keys.snapshots(key), self._keys.shadow(key))
        return DEPENDENCIES.call(keys)


def enlist(keys: SessionKeys, key: SessionKey, ref: str) -> Command:
    """Return the command that adds a session to the set of a version."""
    return (b"SADD", keys.dependents(key.tenant, ref), key.session.encode())


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
