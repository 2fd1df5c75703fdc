"""Sessions in Redis: creation, reads, commits, deletion, listing and checks."""

from collections.abc import Iterable, Mapping, Sequence
from time import time
from typing import Any

from cellar.errors import CellarError, StoreUnavailable
from cellar.ports import (
    EVERY_SESSION,
    MAX_WRITERS,
    Committed,
    CommittedChange,
    Identity,
    Origin,
    Position,
    SessionFilter,
    SessionKey,
    SessionRecord,
    SessionSummary,
)
from cellar.store.connection.retry import PATIENCE_S, RetryingClient
from cellar.store.connection.router import Router, Wait
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, Reply, items, raw
from cellar.store.protocol.script import Script, load_script
from cellar.store.sessions.commits.command import CommitEncoder, Retention, leftovers
from cellar.store.sessions.commits.fast_path import FastCommitEncoder
from cellar.store.sessions.commits.pipeline import CommitPipeline
from cellar.store.sessions.commits.redo_entries import unpack_redo
from cellar.store.sessions.creation import NewSession, SessionCreator
from cellar.store.sessions.deduplication import changes_since, committed_changes, judge
from cellar.store.sessions.expiry import SWEEP_S, ExpirySweeper
from cellar.store.sessions.index import Expired, SessionIndex, ignore, read_summary, summary_commands
from cellar.store.sessions.keyed_answer import find_answer, look_up
from cellar.store.sessions.model_uses import RedisModelUses
from cellar.store.sessions.record_codec import (
    Entry,
    absent,
    bytes_or_none,
    unpack_entry,
    unpack_record,
)
from cellar.store.topology import health
from cellar.store.topology.health import agree
from cellar.store.topology.replication import Replicas

COMMIT, CREATE, DELETE = load_script("session/commit"), load_script("session/create"), load_script("session/delete")

READ_REDO = load_script("session/read_redo")

_FIELDS = (b"h", b"m", b"s", b"v")
_PLACES = tuple(b"v%d" % place for place in range(MAX_WRITERS))


class RedisSessions:
    """Implements `cellar.ports.SessionStore`. All commands go through one router, in order."""

    def __init__(
        self,
        router: Router,
        *,
        prefix: str,
        window: int = 32,
        output_cap_bytes: int = 4096,
        idempotency_ttl_s: float = 86400,
        tombstone_ttl_s: float = 86400,
        patience_s: float = PATIENCE_S,
        commit_script: Script = COMMIT,
        expired: Expired = ignore,
        wait: Wait | None = None,
    ) -> None:
        self._router = router
        self.keys = SessionKeys(prefix)
        self._retention = Retention(
            window, output_cap_bytes, int(idempotency_ttl_s * 1000), int(tombstone_ttl_s * 1000)
        )
        self.encoder = CommitEncoder(commit_script, self.keys, self._retention)
        self._client = RetryingClient(router, preload=[commit_script], patience_s=patience_s)
        self.memory = 0, 0
        """Used memory of the fullest primary at the last check, and its limit, bytes; 0 is no limit."""
        self._expired = expired
        self._listing = SessionIndex(self._client, self.keys, expired)
        self.uses = RedisModelUses(router, prefix=prefix)
        self._creator = SessionCreator(
            router, self._client, self.keys, self._retention, self._listing, self.uses, self._delete
        )
        self._replicas = None if wait is None else Replicas(wait, self._client, self.keys)
        self.fast_encoder = FastCommitEncoder(commit_script, self.keys, self._retention)
        self.compact, self.expand = self.fast_encoder.compact, self.fast_encoder.expand
        self._pipeline = CommitPipeline(
            router, self._client, self.keys, self.encoder, self.fast_encoder, self._replicas
        )
        self.post = self._pipeline.post
        """Begins to apply a group of commits; see `SessionStore.post`."""
        self._slots = tuple(b"r%d" % index for index in range(window))

    async def create(
        self, record: SessionRecord, layout: str | None = None, origin: Origin = "create"
    ) -> SessionSummary | None:
        """Create the session if its name is free and return None; else return the session that has the name.

        Raise ModelDeleted if its model was deleted meanwhile: then the session does not exist, or cannot be stepped.
        """
        return await self._creator.create(NewSession(record, layout, origin))

    async def create_all(
        self, new: Sequence[tuple[SessionRecord, str | None, Origin]]
    ) -> Sequence[SessionSummary | CellarError | None]:
        """Create sessions of one tenant with different names; return for each what `create` returns or raises."""
        return await self._creator.create_all([NewSession(*each) for each in new])

    async def load(self, key: SessionKey) -> SessionRecord:
        """Return the session. Raise SessionUnknown, SessionExpired or StoreUnavailable."""
        record, tombstone = self.keys.record(key), self.keys.tombstone(key)
        fields, dead = await self._client.read([(b"HMGET", record, *_FIELDS), (b"EXISTS", tombstone)])
        return await self._with_redo(self._record(key, items(fields), dead))

    async def load_all(self, keys: Sequence[SessionKey]) -> Sequence[SessionRecord | CellarError]:
        """Return each session, or the error for one that is not there. Raise StoreUnavailable."""
        replies = await self._client.read([(b"HMGET", self.keys.record(key), *_FIELDS) for key in keys])
        found = [self._loaded(key, items(reply)) for key, reply in zip(keys, replies, strict=True)]
        absences = [index for index, each in enumerate(found) if each is None]
        if absences:
            dead = await self._client.read([(b"EXISTS", self.keys.tombstone(keys[index])) for index in absences])
            for index, tombstone in zip(absences, dead, strict=True):
                found[index] = absent(keys[index], tombstone)
        lacking = [index for index, each in enumerate(found) if isinstance(each, SessionRecord) and each.unstored]
        for index, again in zip(lacking, await self._read_redo([keys[index] for index in lacking]), strict=True):
            found[index] = again
        return [each for each in found if each is not None]

    async def find(self, key: SessionKey, identity: Identity, fingerprint: bytes) -> Committed | SessionRecord:
        """Return the answer to a repeated request, else the session. Raise PositionConflict or FingerprintMismatch."""
        entries = self._slots if identity.writer is None else (*self._slots, *_PLACES)
        commands: list[Command] = [
            (b"HMGET", self.keys.record(key), *_FIELDS, *entries),
            (b"EXISTS", self.keys.tombstone(key)),
        ]
        if identity.key is not None:
            commands += look_up(self.keys.answers(key), self.keys.older_answer(key, identity.key), identity.key)
        fields, dead, *keyed = await self._client.read(commands)
        record, seen = self._seen(key, items(fields), dead)
        answered = None if identity.key is None else find_answer(keyed, identity.key, record, time())
        found = judge(record, seen, answered, identity, fingerprint)
        if found is not None and self._replicas is not None:
            await self._replicas.confirm(key)
        return found or await self._with_redo(record)

    async def since(
        self, key: SessionKey, position: Position, writer: str | None
    ) -> tuple[SessionRecord, list[CommittedChange]]:
        """Return the session, and its changes after `position` in order, those of `writer` with their numbers.

        The state of the session may be an earlier one. Raise PositionConflict if the ring of last changes does not
        reach back to `position`, or what `load` raises.
        """
        ring: Command = (b"HMGET", self.keys.record(key), *_FIELDS, *self._slots)
        fields, dead = await self._client.read([ring, (b"EXISTS", self.keys.tombstone(key))])
        record, seen = self._seen(key, items(fields), dead)
        return record, committed_changes(changes_since(record, seen, position), record, writer)

    async def summary(self, key: SessionKey) -> SessionSummary:
        """Return the session without its state. Raise as `load`."""
        commands = [*summary_commands(self.keys, key), (b"EXISTS", self.keys.tombstone(key))]
        replies = await self._client.read(commands)
        found = read_summary(key, replies)
        if found is None:
            raise absent(key, replies[2])
        return found

    async def delete(self, key: SessionKey) -> None:
        """Delete the session, but not another one that gets its name meanwhile. Raise as `load`."""
        while True:  # repeated if another session has taken the name between the two calls
            meta = (await self.summary(key)).meta
            if await self._delete(key, meta.incarnation):
                break
        await self.uses.take_off([key], meta.model)
        await self._listing.remove([key])

    async def unlist(self, deleted: Sequence[SessionKey], models: Mapping[SessionKey, str]) -> None:
        """Remove the names of sessions that were deleted; `models` has the versions that are known."""
        for model in {*models.values()}:
            await self.uses.take_off([key for key in deleted if models.get(key) == model], model)
        if deleted:
            await self._listing.remove(deleted)

    async def summaries(self, keys: Sequence[SessionKey]) -> Sequence[SessionSummary]:
        """Return those of the sessions that exist, without their states. Raise StoreUnavailable or StoreCorrupt."""
        return await self._listing.summaries(keys)

    async def _delete(self, key: SessionKey, incarnation: bytes) -> bool:
        """Delete a session, and return whether it existed."""
        record = self.keys.record(key)
        keys = [record, self.keys.tombstone(key), *leftovers(record)]
        (answer,) = await self._client.execute([DELETE.call(keys, incarnation)])
        return answer.result() == 1 or answer.resent

    async def list(
        self, tenant: str, cursor: str, limit: int, wanted: SessionFilter = EVERY_SESSION
    ) -> tuple[list[SessionSummary], str]:
        """Return up to `limit` sessions after `cursor` ("" to begin), and the next cursor, "" at the end."""
        page = await self.uses.page(tenant, cursor, limit, wanted)
        return page or await self._listing.page(tenant, cursor, limit, wanted)

    def sweeper(
        self, tenants: Iterable[str], *, every_s: float = SWEEP_S, router: Router | None = None
    ) -> ExpirySweeper:
        """Return the sweeper that finds expired sessions of these tenants, in turns of `every_s`.

        With a `router` of its own, no commit waits behind its commands.
        """
        client = self._client if router is None else RetryingClient(router)
        listing = SessionIndex(client, self.keys, self._expired)
        return ExpirySweeper(client, self.keys, listing, tenants, every_s=every_s)

    async def ping(self) -> dict[str, Any]:
        """Return the facts of `health.check`. Raise StoreUnavailable if Redis cannot keep sessions now."""
        found = await health.check(self._router, self.keys.probe)
        self.memory = found.pop(health.MEMORY)
        if self._replicas is not None and found["replicas"] < self._replicas.wait.replicas:
            wanted = self._replicas.wait.replicas
            detail = f"strict durability asks for {wanted} replicas of each primary, and one has {found['replicas']}"
            raise StoreUnavailable(detail, outcome="not_applied")
        return found

    async def agree(self) -> None:
        """Log a warning if another process has another replay window (`health.agree`)."""
        await agree(self._client, self.keys.window, self._retention.window)

    async def aclose(self) -> None:
        """Close every connection. Commits under way end with an unknown outcome."""
        await self._router.aclose()
        await self._pipeline.aclose()

    def _seen(self, key: SessionKey, fields: Sequence[Reply], dead: Reply) -> tuple[SessionRecord, Sequence[Entry]]:
        record = self._record(key, fields[: len(_FIELDS)], dead)
        return record, [unpack_entry(entry) for entry in fields[len(_FIELDS) :] if isinstance(entry, bytes)]

    async def _with_redo(self, record: SessionRecord) -> SessionRecord:
        """Return a session as it is; if it has redo entries, as it is now, with these."""
        if not record.unstored:
            return record
        (found,) = await self._read_redo([record.key])
        if isinstance(found, CellarError):
            raise found
        return found

    async def _read_redo(self, keys: Sequence[SessionKey]) -> Sequence[SessionRecord | CellarError]:
        """Return sessions with their redo entries, or the error for one."""
        replies = await self._client.read([READ_REDO.call([self.keys.record(key)]) for key in keys]) if keys else []
        return [await self._unpack_redo(key, reply) for key, reply in zip(keys, replies, strict=True)]

    async def _unpack_redo(self, key: SessionKey, reply: Reply) -> SessionRecord | CellarError:
        try:
            if reply is None:
                return await self.load(key)  # raises why there is none
            head, meta, state, writers, *redo = items(reply)
            entries = unpack_redo(raw(head), map(raw, redo))
            return unpack_record(key, raw(head), raw(meta), raw(state), bytes_or_none(writers), entries)
        except CellarError as error:  # which concerns no other session
            return error

    def _loaded(self, key: SessionKey, fields: Sequence[Reply]) -> SessionRecord | CellarError | None:
        """Return a session that is loaded with others, None if it has no record."""
        head, meta, state, writers = fields
        if head is None:
            return None
        try:
            return unpack_record(key, raw(head), raw(meta), raw(state), bytes_or_none(writers))
        except CellarError as error:  # which concerns no other session
            return error

    def _record(self, key: SessionKey, fields: Sequence[Reply], dead: Reply) -> SessionRecord:
        head, meta, state, writers = fields
        if head is None:
            raise absent(key, dead)
        return unpack_record(key, raw(head), raw(meta), raw(state), bytes_or_none(writers))
