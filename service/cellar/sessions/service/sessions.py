"""The service of sessions that HTTP and WebSockets call, with arrays and positions as arguments."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic

from cellar.errors import AlreadyExists, CellarError
from cellar.machine import threads
from cellar.memory.request_memory import LEAST_MEMORY_BYTES, RequestMemory
from cellar.metrics.counts import COUNTS
from cellar.ports import (
    APPEND,
    EVERY_SESSION,
    Alias,
    Clock,
    Commit,
    Committed,
    Floats,
    Identity,
    ModelUses,
    Origin,
    Position,
    RowFlags,
    SessionFilter,
    SessionKey,
    SessionRecord,
    SessionStore,
    SessionSummary,
)
from cellar.sessions.execution.dry_run import DryRun
from cellar.sessions.execution.model_cache import ModelSource
from cellar.sessions.requests.change_request import ChangeRequest, Edit, Prepare
from cellar.sessions.scheduling.scheduler import Scheduler
from cellar.sessions.service import state_edits
from cellar.sessions.service.options import MAX_TTL_S, SessionOptions, check_range, check_rows, is_as_asked, new_name
from cellar.sessions.service.session_quota import NO_QUOTA, SessionQuota, admit_many, admit_one, outcome_of
from cellar.sessions.service.steps import Steps
from cellar.sessions.values.identity import check_identity, nonces
from cellar.sessions.values.learning import learning_in
from cellar.sessions.values.limits import SessionLimits
from cellar.sessions.values.model_protocol import Model, Sizes, layout_of
from cellar.sessions.values.position import Kind, fingerprint, start_of
from cellar.sessions.values.results import (
    ChangeAnswer,
    CreateAnswer,
    Missed,
    PageAnswer,
    SessionAnswer,
    SinceAnswer,
    UpdateAnswer,
    WriterAnswer,
    outputs_of,
)

THREADS = threads()
"""Threads on which networks run: one for each processor of this process."""


class Sessions:
    """Creates, changes, reads and deletes sessions; `steps` runs their steps.

    Every method may raise StoreUnavailable, SessionUnknown and SessionExpired. Every method that changes a session may
    also raise PositionConflict, FingerprintMismatch, Overloaded, ModelUnknown and KernelRevisionMismatch. If the caller
    is cancelled, the change is made completely or not at all, and other requests are not affected.
    """

    def __init__(
        self,
        store: SessionStore,
        uses: ModelUses,
        source: ModelSource,
        clock: Clock,
        limits: SessionLimits,
        memory: RequestMemory | None = None,
    ) -> None:
        self._store = store
        self.memory = memory or RequestMemory(LEAST_MEMORY_BYTES)
        """The memory that all requests hold, those for steps and those of the transports."""
        self._clock = clock
        self._limits = limits
        self._nonces = nonces()
        self.kernels = ThreadPoolExecutor(THREADS, thread_name_prefix="cellar-kernel")
        self._scheduler = Scheduler(store, uses, source, self.kernels, THREADS, limits, self.memory)
        self.models, self.aliases = self._scheduler.models, self._scheduler.aliases
        self.recovery, self.recover = self._scheduler.recovery, self._scheduler.recover
        self.quota: SessionQuota = NO_QUOTA
        self.steps = Steps(self._scheduler, self.memory, max_sequence_steps=limits.max_sequence_steps)

    def call_with_logged(self, logged: Callable[[Commit], None]) -> None:
        """Call a function with each commit that is applied to a session with a log."""
        self._scheduler.call_with_logged(logged)

    async def create(
        self,
        tenant: str,
        *,
        model: str,
        session: str | None = None,
        batch_size: int = 1,
        ttl_s: int | None = None,
        history: int = 0,
        log: int = 0,
        events: int = 0,
        pinned: bool = False,
        learning: str = "",
    ) -> CreateAnswer:
        """Create a session of a model: `name`, `name@3`, or `name@live`, which it follows. A name is generated if None.

        `history`, `log`, `events` and `pinned` are what `SessionMeta` says of them, `learning` is the JSON of what it
        learns. The same request again answers the same session. Raise AlreadyExists, ModelUnknown or InvalidInput.
        """
        options = SessionOptions(batch_size, self.ttl_s(ttl_s), history, log, events, pinned, learning)
        options.check(self._limits.max_batch_size)
        name = new_name(session)
        ref, alias = await self.aliases.resolve(tenant, model)
        loaded = await self.models.resolve(tenant, ref, learning)
        state = self.initial_state(loaded, options)
        record = self.new_record(SessionKey(tenant, name), options, loaded, alias, state)
        return self.answer_of(record, await self.admit(record), model)

    def ttl_s(self, asked: int | None) -> int:
        """Return the lifetime of a new session for which this one is asked."""
        return self._limits.default_ttl_s if asked is None else asked

    @property
    def max_batch_size(self) -> int:
        """The most rows of a session."""
        return self._limits.max_batch_size

    def initial_state(self, loaded: Model, options: SessionOptions) -> bytes:
        """Return the initial state of a new session. Raise InvalidInput if the options do not fit the model."""
        self.check_options(loaded, options)
        return loaded.network.initial_state(options.batch_size).astype("<f4").tobytes()

    def check_options(self, loaded: Model, options: SessionOptions) -> None:
        """Raise InvalidInput if the options of a session do not fit the model."""
        options.check_with(loaded.network.network, self._limits.max_numbers)

    def new_record(
        self, key: SessionKey, options: SessionOptions, loaded: Model, alias: Alias | None, state: bytes
    ) -> SessionRecord:
        """Return the record of a new session."""
        learning = learning_in(loaded.network) if options.learning else ""
        meta = options.meta(loaded.version, self._limits.kernel_rev, self._clock.now_s(), alias, learning)
        return SessionRecord(key, meta, start_of(meta.incarnation), 0, state)

    def answer_of(self, record: SessionRecord, there: SessionSummary | None, model: str) -> CreateAnswer:
        """Return the answer to the creation of a record; `there` is the session that had its name before.

        Raise AlreadyExists if that is not the session for which the request asked.
        """
        if there is None:
            meta = record.meta
            made = SessionAnswer(record.key, meta, record.position, meta.created_s + meta.ttl_s)
            return CreateAnswer(made, created=True)
        if not is_as_asked(there.meta, record.meta, model):
            raise AlreadyExists(f"there is another session {record.key.session}, of the model {there.meta.model}")
        return CreateAnswer(self._describe(there), created=False)

    async def admit_all(
        self, records: Sequence[tuple[SessionRecord, str | None, Origin]]
    ) -> Sequence[SessionSummary | CellarError | None]:
        """Create sessions of one tenant with different names; return for each what `admit` returns or raises."""
        if not await admit_many(self.quota, [record for record, _, _ in records]):
            return [await outcome_of(self.admit(record, origin)) for record, _, origin in records]
        found = await self._store.create_all(records)
        for (record, _, _), there in zip(records, found, strict=True):
            if there is None:
                COUNTS.sessions_opened += 1
                self._scheduler.forget(record.key)
        return found

    async def admit(self, record: SessionRecord, origin: Origin = "create") -> SessionSummary | None:
        """Create a session that is made elsewhere and return None; if its name is taken, return who has it.

        `origin` is where its state is from: `create` for the initial one. Raise QuotaExceeded if the name is free.
        """
        if (there := await admit_one(self.quota, self._store, record)) is not None:
            return there
        layout = None
        if record.meta.log:
            served = await self.models.fetch(record.key.tenant, record.meta)
            layout = layout_of(served.model.network.network)
        there = await self._store.create(record, layout, origin)
        if there is None:
            COUNTS.sessions_opened += 1
            self._scheduler.forget(record.key)
        return there

    def check_rows(self, rows: int, sizes: Sizes) -> None:
        """Raise InvalidInput for more rows than a session of such a network may have."""
        check_rows(rows, sizes, self._limits.max_numbers)

    async def get(self, key: SessionKey) -> SessionAnswer:
        """Return the session without its state."""
        return self._describe(await self._store.summary(key))

    async def writer(self, key: SessionKey, writer: str) -> WriterAnswer:
        """Return the number of the writer's last request, and the position of the session."""
        record = await self._store.load(key)
        return WriterAnswer(record.writers.last(writer), record.position)

    async def update(
        self, key: SessionKey, *, ttl_s: int | None = None, pinned: bool | None = None, once: str | None = None
    ) -> UpdateAnswer:
        """Change the given parts of the session's lifetime, and return the session. Its position stays the same.

        `once` is the request's Idempotency-Key. Raise InvalidInput for an invalid lifetime.
        """
        if ttl_s is not None:
            check_range("ttl_s", ttl_s, MAX_TTL_S)
        mark = fingerprint("settings", names=f"{ttl_s} {pinned}")
        edit = partial(state_edits.keep, ttl_s, pinned)
        done = await self.change(key, "settings", Identity(key=once), mark, edit, any_model=True)
        return UpdateAnswer(await self.get(key), done.replayed)

    async def since(self, key: SessionKey, position: Position, writer: str | None = None) -> SinceAnswer:
        """Return the changes after `position`; those of `writer` have the numbers of their requests.

        Raise a PositionConflict: ReplayExpired if it is too long ago.
        """
        record, changes = await self._store.since(key, position, writer)
        rows = record.meta.batch_size
        missed = [Missed(each.position, each.steps, outputs_of(each, rows), each.seq, each.model) for each in changes]
        return SinceAnswer(record.position, tuple(missed))

    async def list(
        self, tenant: str, *, cursor: str = "", limit: int = 100, wanted: SessionFilter = EVERY_SESSION
    ) -> PageAnswer:
        """Return up to `limit` sessions after `cursor`; fewer, or none, if it examines many. Raise InvalidInput."""
        found, after = await self._store.list(tenant, cursor, limit, wanted)
        return PageAnswer(tuple(self._describe(summary) for summary in found), after)

    def forget(self, key: SessionKey) -> None:
        """Forget what is known of a session that was deleted."""
        self._scheduler.forget(key)

    async def delete(self, key: SessionKey) -> None:
        """Delete the session."""
        self._scheduler.forget(key)
        await self._store.delete(key)
        self.quota.forget()

    async def look(self, key: SessionKey) -> tuple[SessionRecord, Sizes, int]:
        """Return the session, the sizes of its model, and how many steps a sequence of it may have at most."""
        record = await self.follow(await self._store.load(key))
        sizes = (await self.models.fetch(key.tenant, record.meta)).model.network.network
        outputs = self._limits.max_numbers // (record.meta.batch_size * sizes.out_size)
        return record, sizes, max(1, min(self._limits.max_sequence_steps, outputs))

    async def find(self, key: SessionKey, identity: Identity, mark: bytes) -> Committed | SessionRecord:
        """Return the answer to a request seen before, or the session; `mark` is the fingerprint of the body."""
        if identity != APPEND:
            check_identity(identity)
        return await self._store.find(key, identity, mark)

    async def follow(self, record: SessionRecord) -> SessionRecord:
        """Return a session on the version that its alias names now; as it is if its version is pinned.

        Raise ModelUnfit.
        """
        return await self._scheduler.follow(record)

    async def attempt(self, record: SessionRecord, inputs: Floats, flags: RowFlags | None = None) -> DryRun:
        """Run a sequence (T, batch_size, in_size) on a session as `record` has it, and commit nothing."""
        self._scheduler.admit_attempt()
        try:
            return await self._scheduler.attempt(record, inputs, flags)
        finally:
            self._scheduler.admission.leave()

    async def reset(
        self, key: SessionKey, identity: Identity, *, rows: Sequence[int] | Sequence[bool] | None = None
    ) -> ChangeAnswer:
        """Reset the session or some rows to the initial state, at step 0 of a new epoch.

        `rows` are numbers of rows, or a bool for each row. Raise InvalidInput for a row that does not exist.
        """
        if rows is None:
            return await self.change(key, "reset", identity, fingerprint("reset"), state_edits.reset_all)
        mark = fingerprint("reset", names=str(list(rows)))
        return await self.change(key, "reset", identity, mark, partial(state_edits.reset_rows, tuple(rows)))

    async def change(
        self,
        key: SessionKey,
        kind: Kind,
        identity: Identity,
        mark: bytes,
        edit: Edit,
        *,
        any_model: bool = False,
    ) -> ChangeAnswer:
        """Make a change that is not a step. It leads to step 0 of a new epoch, unless the edit keeps the position.

        `mark` is the fingerprint of the request's body. `any_model` lets it be made in a session whose model was
        deleted. Raise the errors of `edit`.
        """
        request = self._request(key, kind, identity, mark)
        request.edit, request.any_model = edit, any_model
        return await self._run(request)

    async def change_after(
        self,
        key: SessionKey,
        kind: Kind,
        identity: Identity,
        mark: bytes,
        prepare: Prepare,
        *,
        any_revision: bool = False,
        any_model: bool = False,
    ) -> ChangeAnswer:
        """Make a change that has to ask the store first, else as `change`. Requests that come later wait for it.

        `any_revision` lets it be made in a session that is pinned to another kernel revision, `any_model` in one whose
        model was deleted.
        """
        request = self._request(key, kind, identity, mark)
        request.prepare, request.any_revision, request.any_model = prepare, any_revision, any_model
        return await self._run(request)

    def _request(self, key: SessionKey, kind: Kind, identity: Identity, mark: bytes) -> ChangeRequest:
        if identity is not APPEND:
            check_identity(identity)
        return ChangeRequest(key, kind, identity, mark, next(self._nonces), monotonic())

    async def _run(self, request: ChangeRequest) -> ChangeAnswer:
        self._scheduler.submit(request)
        done = await request
        return ChangeAnswer(done.position, done.replayed)

    async def aclose(self, grace_s: float = 0.0) -> None:
        """Accept no more requests, wait up to `grace_s` for the running ones, and end the threads."""
        try:
            async with asyncio.timeout(grace_s):
                await self._scheduler.drain()
        except TimeoutError:
            pass
        self.models.close()
        self.aliases.close()
        self.kernels.shutdown(wait=False, cancel_futures=True)

    def _describe(self, summary: SessionSummary) -> SessionAnswer:
        return SessionAnswer(summary.key, summary.meta, summary.position, self._clock.now_s() + summary.left_s)
