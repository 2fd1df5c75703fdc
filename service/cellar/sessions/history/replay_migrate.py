"""Replays the log of a session on another version of a model, and migrates the session to another version."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from cellar.errors import AlreadyExists, Conflict, ModelDeleted, ModelUnfit
from cellar.ports import (
    Alias,
    Clock,
    Committed,
    Following,
    HistoryStore,
    Identity,
    LogEntry,
    ModelUses,
    Position,
    SessionKey,
    SessionRecord,
    SessionStore,
)
from cellar.sessions.history.history import entries
from cellar.sessions.history.log_replay import Differences, LogReplay, compare, replay_from, replay_start
from cellar.sessions.history.model_compatibility import check_outputs, load_compatible, same_states, unfit
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.requests.change_request import Edited, Stale
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.deleted_model import known_of, model_deleted
from cellar.sessions.values.learning import begun_anew, learning_in
from cellar.sessions.values.model_protocol import Model, Network, layout_of
from cellar.sessions.values.position import EPOCH_BYTES, fingerprint, start_of
from cellar.sessions.values.results import ChangeAnswer

How = Literal["carry", "replay", "auto"]


@dataclass(frozen=True, slots=True)
class ReplayAnswer:
    """The result of a replay."""

    model: str
    began: Position
    """The position of the session where the replay began."""
    ended: Position
    """The position of the session where the replay ended."""
    steps: int
    session: SessionKey | None
    """The new session, None if outputs were compared."""
    differences: Differences | None
    """How the outputs of the two versions differ, None if a session was created."""


class Replays:
    """Replays and migrates sessions. Raises as `Sessions` and its steps, and NotKept, OutOfReach or ModelUnfit."""

    def __init__(
        self,
        sessions: Sessions,
        store: SessionStore,
        history: HistoryStore,
        uses: ModelUses,
        clock: Clock,
        *,
        kernel_rev: int,
        limit: ConcurrencyLimit | None = None,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._history = history
        self._uses = uses
        self._clock = clock
        self._kernel_rev = kernel_rev
        self._limit = limit or ConcurrencyLimit()

    async def replay(
        self, key: SessionKey, ref: str, *, since: Position | None = None, session: str | None = None
    ) -> ReplayAnswer:
        """Run the log of a session on a version, from `since` or the last change that gave a state, to its end.

        With `session`, a new session of that name is created in the final state. Without it, the outputs are compared
        with those of the version of the session. The same request returns the same session again as long as the log
        has not grown. Raise AlreadyExists.
        """
        record = await self._store.load(key)
        own, model = await load_compatible(self._sessions, record, ref)
        async with self._limit.slot():
            first = await replay_start(self._history, record, since)
            replay = replay_from(first, record, model, self._sessions.kernels)
            differences = None
            if session is None:
                check_outputs(own, model)
                differences = await self._compare(record, first, own, replay)
            else:
                await self._run(record, replay)
        made = None if session is None else await self._make(record, replay, session)
        return ReplayAnswer(model.version.ref, replay.start, replay.position, replay.steps, made, differences)

    async def _compare(self, record: SessionRecord, first: LogEntry, own: Model, replay: LogReplay) -> Differences:
        """Run the log on both versions, and return how their outputs differ."""
        other, differences = replay_from(first, record, own, self._sessions.kernels), Differences()
        async for entry in entries(self._history, record, replay.revision):
            await compare(entry, other, replay, differences)
        return differences

    async def _run(self, record: SessionRecord, replay: LogReplay) -> None:
        """Run the rest of the log up to the revision of the record."""
        async for entry in entries(self._history, record, replay.revision):
            await replay.run(entry)

    async def migrate(self, key: SessionKey, ref: str, how: How, identity: Identity) -> ChangeAnswer:
        """Move the session to another version, at step 0 of a new epoch and with this service's kernel revision.

        A session that is moved to an alias follows it from then on; otherwise its version is pinned.

        `carry` keeps the state, which needs the same layers, states and sizes; `replay` runs the log; `auto` keeps the
        state if possible and otherwise runs the log.
        """
        mark = fingerprint("migrate", names=f"{ref} {how}")
        found = await self._store.find(key, identity, mark)
        if isinstance(found, Committed):
            return ChangeAnswer(found.position, replayed=True)
        ref, alias = await self._sessions.aliases.resolve(key.tenant, ref)
        replay: LogReplay | None = None
        model: Model | None = None

        async def prepare(record: SessionRecord, network: Network) -> Edited:
            """Return the change, with the state and the metadata for the other version."""
            nonlocal replay, model
            own, model = await load_compatible(self._sessions, record, ref)
            await self._uses.enlist(key, model.version.ref)
            if same_states(network, model) and how != "replay":
                return self._edited(record, model, await self._carried(record, own, model), alias)
            if how == "carry":
                raise unfit(model, "states", layout_of(network.network), layout_of(model.network.network))
            replay = await self._catch_up_for(how, record, model, replay)
            return self._edited(record, model, replay.recompute.state, alias)

        own, target = await load_compatible(self._sessions, found, ref)
        runs = how == "replay" or (how == "auto" and not same_states(own.network, target))
        # The slot is acquired and the log is run before the change is queued, so that the session can be stepped in the
        # meantime. The queued change then only has to run the entries that were added since.
        async with self._limit.slot() if runs else nullcontext():
            try:
                await prepare(found, own.network)
            except Stale:
                replay = None
            done = await self._sessions.change_after(
                key, "migrate", identity, mark, prepare, any_revision=True, any_model=True
            )
        assert model is not None
        if not (done.replayed or await self._uses.confirm(key, model.version.ref)):
            await self._uses.fence_one(key, model.version.ref, known_of(model.network.network))
            raise model_deleted(model.version.ref)
        return done

    async def _carried(self, record: SessionRecord, own: Model, model: Model) -> bytes:
        """Return the state of a session: its own version runs steps whose inputs are stored in place of the state.

        If that was deleted, the other version does. What was learnt is left behind.
        """
        if record.redo:
            try:
                record = await self._sessions.recovery.run(record, own.network)
            except ModelDeleted:
                record = await self._sessions.recovery.run(record, model.network)
        return begun_anew(record.state, model.network)

    async def _catch_up_for(self, how: How, record: SessionRecord, model: Model, replay: LogReplay | None) -> LogReplay:
        """Call `_catch_up`. If the log is run only because the states differ, a conflict says so."""
        try:
            return await self._catch_up(record, model, replay)
        except Conflict as error:
            if how != "auto":
                raise
            detail = f"the session has different states from {model.version.ref}; {error.detail}"
            raise ModelUnfit(detail) from error

    async def _catch_up(self, record: SessionRecord, model: Model, replay: LogReplay | None) -> LogReplay:
        """Return a replay that has run up to the revision of the record, continuing `replay` if that is possible."""
        if replay is None or replay.incarnation != record.meta.incarnation or replay.model.version != model.version:
            first = await replay_start(self._history, record)
            replay = replay_from(first, record, model, self._sessions.kernels)
        if replay.revision > record.revision:
            raise Stale
        await self._run(record, replay)
        return replay

    def _edited(self, record: SessionRecord, model: Model, state: bytes, alias: Alias | None) -> Edited:
        version, after = model.version, record.revision + 1
        meta = replace(
            record.meta,
            model=version.ref,
            model_digest=version.digest,
            kernel_rev=self._kernel_rev,
            migrated=after,
            deleted=None,
            following=None if alias is None else Following.of(alias.alias, alias.moved_ms, version.ref, after),
            learning=learning_in(model.network),
        )
        return Edited(state, meta, layout=layout_of(model.network.network))

    async def _make(self, record: SessionRecord, replay: LogReplay, name: str) -> SessionKey:
        """Create a session in the final state of a replay, or find the one of the same request. Raise AlreadyExists."""
        version = replay.model.version
        said = f"{version.digest} {replay.start} {replay.position} {name}".encode()
        incarnation = blake2b(record.meta.incarnation + said, digest_size=EPOCH_BYTES).digest()
        meta = replace(
            record.meta,
            model=version.ref,
            model_digest=version.digest,
            kernel_rev=self._kernel_rev,
            created_s=self._clock.now_s(),
            incarnation=incarnation,
            pinned=False,
            migrated=0,
            deleted=None,
            following=None,
            learning=learning_in(replay.model.network),
        )
        key = SessionKey(record.key.tenant, name)
        made = SessionRecord(key, meta, start_of(incarnation), 0, replay.recompute.state)
        there = await self._sessions.admit(made, origin="replay")
        if there is not None:
            raise AlreadyExists(f"there is another session {name}, of the model {there.meta.model}")
        return key
