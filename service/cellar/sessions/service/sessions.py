"""Sessions as a service: what every transport calls, in its own words of arrays and positions."""

import asyncio
import os
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from time import monotonic
from typing import Literal

import numpy as np

from cellar.errors import AlreadyExists, ShapeMismatch
from cellar.ports import (
    APPEND,
    EVERY_SESSION,
    UNMARKED,
    Clock,
    Committed,
    CommittedChange,
    Identity,
    Origin,
    Position,
    SessionFilter,
    SessionKey,
    SessionRecord,
    SessionStore,
    SessionSummary,
)
from cellar.sessions.execution.dry_run import DryRun
from cellar.sessions.execution.model_cache import MAX_BYTES, ModelCache, ModelSource
from cellar.sessions.requests.pending_result import PendingResult
from cellar.sessions.requests.request import Edit, Prepare, Request, too_late
from cellar.sessions.requests.step_batch import StepBatch
from cellar.sessions.scheduling.commit_builder import check_finite, rows_to_reset
from cellar.sessions.scheduling.scheduler import Scheduler
from cellar.sessions.service import state_edits
from cellar.sessions.service.options import MAX_TTL_S, NUMBERS, SessionOptions, check_name, check_range, is_as_asked
from cellar.sessions.values.identity import NONCE_BYTES, check_identity, nonces
from cellar.sessions.values.model_protocol import Sizes
from cellar.sessions.values.position import Kind, fingerprint, start_of, step_fingerprints
from cellar.sessions.values.results import (
    ChangeAnswer,
    CreateAnswer,
    Floats,
    Mask,
    Missed,
    PageAnswer,
    SessionAnswer,
    SinceAnswer,
    StepAnswer,
    UpdateAnswer,
)
from cellar.sessions.values.state_layout import layout_of

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""On which networks run: as many as there are cores for this process."""

Reset = bool | Sequence[bool]
"""Which rows begin from the initial state: all, none, or each by itself."""


class Sessions:
    """Create, step, read and end sessions.

    Every method may raise StoreUnavailable and, for a session that is not there, SessionUnknown or SessionExpired.
    Every method that changes one may raise the PositionConflict that its identity deserves, FingerprintMismatch,
    Overloaded, ModelUnknown or KernelRevisionMismatch. A caller that is cancelled leaves the session as it was, or as
    the request would have left it, and harms no other.
    """

    def __init__(
        self,
        store: SessionStore,
        source: ModelSource,
        clock: Clock,
        *,
        kernel_rev: int,
        default_ttl_s: int,
        max_batch_size: int = 4096,
        max_sequence_steps: int = 65536,
        max_numbers: int = 4 * 1024 * 1024,
        queue_limit: int = 4096,
        queue_wait_s: float = 2.0,
        most_together: int = 32,
        cache_bytes: int = 64 * 1024 * 1024,
        model_cache_bytes: int = MAX_BYTES,
        any_revision: bool = False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._kernel_rev = kernel_rev
        self._default_ttl_s = default_ttl_s
        self._max_batch_size = max_batch_size
        self._max_sequence_steps = max_sequence_steps
        self._max_numbers = max_numbers
        self._nonces = nonces()
        self._kernels = ThreadPoolExecutor(THREADS, thread_name_prefix="cellar-kernel")
        self._scheduler = Scheduler(
            store,
            source,
            self._kernels,
            THREADS,
            kernel_rev=kernel_rev,
            any_revision=any_revision,
            queue_limit=queue_limit,
            queue_wait_s=queue_wait_s,
            cache_bytes=cache_bytes,
            model_cache_bytes=model_cache_bytes,
            max_numbers=max_numbers,
            most_together=most_together,
        )

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
    ) -> CreateAnswer:
        """Create a session of a model (`name` or `name@3`); a name is made up if None.

        `history`, `log`, `events` and `pinned` are what `SessionMeta` says of them. The same request again answers the
        same session. Raise AlreadyExists, ModelUnknown or InvalidInput.
        """
        name = secrets.token_hex(12) if session is None else session
        ttl_s = self._default_ttl_s if ttl_s is None else ttl_s
        options = SessionOptions(batch_size, ttl_s, history, log, events, pinned)
        check_name(name)
        options.check(self._max_batch_size)
        loaded = await self._scheduler.models.resolve(tenant, model)
        options.check_with(loaded.network.network, self._max_numbers)
        meta = options.meta(loaded.version, self._kernel_rev, self._clock.now_s())
        state = loaded.network.initial_state(batch_size).astype("<f4").tobytes()
        record = SessionRecord(SessionKey(tenant, name), meta, start_of(meta.incarnation), 0, state)
        there = await self.admit(record)
        if there is None:
            return CreateAnswer(self._describe(SessionSummary(record.key, meta, record.position, ttl_s)), created=True)
        if not is_as_asked(there.meta, meta, model):
            raise AlreadyExists(f"there is another session {name}, of the model {there.meta.model}")
        return CreateAnswer(self._describe(there), created=False)

    async def admit(self, record: SessionRecord, origin: Origin = "create") -> SessionSummary | None:
        """Create a session that is made elsewhere and return None; if its name is taken, return who has it.

        `origin` says where its state is from: `create` where it is the initial one.
        """
        layout = None
        if record.meta.log:
            served = await self.models.fetch(record.key.tenant, record.meta)
            layout = layout_of(served.model.network.network)
        there = await self._store.create(record, layout, origin)
        if there is None:
            self._scheduler.forget(record.key)
        return there

    def check_rows(self, rows: int, sizes: Sizes) -> None:
        """Raise InvalidInput for more rows than a session of such a network may have."""
        check_range("batch_size", rows, self._max_numbers // max(sizes.out_size, sizes.state_size), setting=NUMBERS)

    async def get(self, key: SessionKey) -> SessionAnswer:
        """Return the session without its state."""
        return self._describe(await self._store.summary(key))

    async def update(
        self, key: SessionKey, *, ttl_s: int | None = None, pinned: bool | None = None, once: str | None = None
    ) -> UpdateAnswer:
        """Change how long the session is kept, where that is given, and return the session; it stays where it is.

        `once` is the request's Idempotency-Key. Raise InvalidInput for a lifetime that is none.
        """
        if ttl_s is not None:
            check_range("ttl_s", ttl_s, MAX_TTL_S)
        mark = fingerprint("settings", names=f"{ttl_s} {pinned}")
        edit = partial(state_edits.keep, ttl_s, pinned)
        done = await self.change(key, "settings", Identity(key=once), mark, edit, any_model=True)
        return UpdateAnswer(await self.get(key), done.replayed)

    async def since(self, key: SessionKey, position: Position, writer: str | None = None) -> SinceAnswer:
        """Return what has happened since `position`; requests of `writer` have their numbers.

        Raise a PositionConflict: ReplayExpired if it is too long ago.
        """
        record, changes = await self._store.since(key, position, writer)
        rows = record.meta.batch_size
        missed = [Missed(each.position, each.steps, _outputs(each, rows), each.seq) for each in changes]
        return SinceAnswer(record.position, tuple(missed))

    async def list(
        self, tenant: str, *, cursor: str = "", limit: int = 100, wanted: SessionFilter = EVERY_SESSION
    ) -> PageAnswer:
        """Return up to `limit` sessions after `cursor`, and fewer, or none, where many must be looked at.

        Raise InvalidInput for a cursor that is none.
        """
        found, after = await self._store.list(tenant, cursor, limit, wanted)
        return PageAnswer(tuple(self._describe(summary) for summary in found), after)

    async def delete(self, key: SessionKey) -> None:
        """Delete the session."""
        self._scheduler.forget(key)
        await self._store.delete(key)

    async def step(
        self,
        key: SessionKey,
        inputs: Floats,
        identity: Identity,
        *,
        reset: Reset = False,
        deadline_s: float | None = None,
    ) -> StepAnswer:
        """Advance by one step. `inputs` is (batch_size, in_size) float32.

        Rows that are to be reset begin from the initial state, in the same commit; it is no new epoch. Raise
        ShapeMismatch, NotFinite, StateNotFinite or OutputNotFinite, whose pointers begin at the inputs, or InvalidInput
        for a `reset` that does not fit; DeadlineExceeded if the step has not begun after `deadline_s`.
        """
        if inputs.ndim != 2:
            raise ShapeMismatch("a step is rows of inputs", expected="(batch_size, in_size)", actual=str(inputs.shape))
        return await self.submit(key, "step", inputs[None], identity, reset=reset, deadline_s=deadline_s)

    async def sequence(
        self,
        key: SessionKey,
        inputs: Floats,
        identity: Identity,
        *,
        reset: Reset = False,
        deadline_s: float | None = None,
    ) -> StepAnswer:
        """Advance by T steps, all or nothing. `inputs` is (T, batch_size, in_size) float32.

        Rows are reset before the first step. Raise as `step`.
        """
        return await self.submit(key, "sequence", inputs, identity, reset=reset, deadline_s=deadline_s)

    def submit(
        self,
        key: SessionKey,
        kind: Literal["step", "sequence"],
        inputs: Floats,
        identity: Identity,
        *,
        reset: Reset = False,
        deadline_s: float | None = None,
        came_s: float | None = None,
        after: PendingResult | None = None,
        finite: bool = False,
    ) -> PendingResult:
        """Queue a step, (1, batch_size, in_size), or a sequence, (T, batch_size, in_size), and return what is to come.

        Requests of a session go in the order of the calls, and steps that wait for each other go together. Raise as
        `step`, at once or from what is to come. If `after`, an earlier request of the session, fails, this one raises
        NotReached. `finite` says that the caller knows the inputs to be so. The deadline counts from `came_s`, by the
        monotonic clock, or from now.
        """
        left_s = None if deadline_s is None else _left_s(deadline_s, came_s)
        limit = self._max_sequence_steps
        if inputs.ndim != 3 or not 1 <= inputs.shape[0] <= limit:
            raise ShapeMismatch(
                "a sequence is steps of rows of inputs, so many steps at most (CELLAR_MAX_SEQUENCE_STEPS)",
                expected=f"(T, batch_size, in_size), T from 1 to {limit}",
                actual=str(inputs.shape),
            )
        if not (finite and inputs.flags.c_contiguous):
            inputs = np.ascontiguousarray(inputs, dtype="<f4")
        if not finite:
            check_finite(inputs)
        anew = None if reset is False else rows_to_reset(reset, inputs.shape[1])
        mark = UNMARKED
        if identity is not APPEND and (identity.ordered or identity.key is not None):
            mark = fingerprint(kind, *((inputs,) if anew is None else (inputs, anew)))
        request = self._request(key, kind, identity, mark, inputs, anew)
        request.after = after
        request.until_s = None if left_s is None else request.began_s + left_s
        self._scheduler.submit(request)
        if deadline_s is not None and left_s is not None:
            request.end_after(left_s, deadline_s)
        return request

    def submit_steps(
        self, key: SessionKey, inputs: Floats, first: int | None = None, *, after: PendingResult | None = None
    ) -> StepBatch:
        """Queue single steps (T, batch_size, in_size), T at least 1, which came together, and return what is to come.

        They are numbered from `first`, or append; each is a request of its own, as if `submit` had been called for each
        in turn, with `after` for the first and, if they are numbered, each for the one behind it. `inputs` is float32,
        C-contiguous and finite.
        """
        marks = os.urandom(NONCE_BYTES * len(inputs)) if first is None else step_fingerprints(inputs)
        batch = StepBatch(key, first, marks, monotonic(), inputs)
        batch.after = after
        self._scheduler.submit(batch)
        return batch

    def together(self) -> AbstractContextManager[None]:
        """Submit in here, at once, requests that came together: those of one session share a commit from the first."""
        return self._scheduler.together()

    async def look(self, key: SessionKey) -> tuple[SessionRecord, Sizes, int]:
        """Return the session, the sizes of its model, and how many steps a sequence of it may have at most."""
        record = await self._store.load(key)
        sizes = (await self._scheduler.models.fetch(key.tenant, record.meta)).model.network.network
        outputs = self._max_numbers // (record.meta.batch_size * sizes.out_size)
        return record, sizes, max(1, min(self._max_sequence_steps, outputs))

    async def find(self, key: SessionKey, identity: Identity, mark: bytes) -> Committed | SessionRecord:
        """Return the answer to a request seen before, or the session if the request may run on it as it is.

        `mark` is the fingerprint of the request's body.
        """
        if identity != APPEND:
            check_identity(identity)
        return await self._store.find(key, identity, mark)

    async def attempt(self, record: SessionRecord, inputs: Floats, *, reset: Reset = False) -> DryRun:
        """Run a sequence (T, batch_size, in_size) on the session as `record` has it, and commit nothing.

        Raise as `sequence`, but for conflicts.
        """
        check_finite(inputs)
        return await self._scheduler.attempt(record, inputs, rows_to_reset(reset, inputs.shape[1]))

    async def reset(
        self, key: SessionKey, identity: Identity, *, rows: Sequence[int] | Sequence[bool] | None = None
    ) -> ChangeAnswer:
        """Go back to the initial state, or let these rows do so, at step 0 of a new epoch.

        `rows` are numbers of rows, or a bool for each. Raise InvalidInput for rows that are none.
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
        """Make a change that is not a step: step 0 of a new epoch, unless it stays where it is.

        `mark` is the fingerprint of the request's body. `any_model` lets it be made in a session whose model was
        deleted. Raise what `edit` raises.
        """
        request = self._request(key, kind, identity, mark)
        request.edit, request.any_model = edit, any_model
        self._scheduler.submit(request)
        done = await request.come()
        return ChangeAnswer(done.position, done.replayed)

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
        self._scheduler.submit(request)
        done = await request.come()
        return ChangeAnswer(done.position, done.replayed)

    @property
    def models(self) -> ModelCache:
        """The models that sessions run on."""
        return self._scheduler.models

    @property
    def is_refusing(self) -> bool:
        """Whether requests were refused just now because too many wait."""
        return self._scheduler.is_refusing

    def check_room(self, key: SessionKey, deadline_s: float | None, came_s: float | None = None) -> None:
        """Raise Overloaded if a step of the session would be refused for those that wait, as far as that is known.

        The deadline counts from `came_s` or from now. Raise DeadlineExceeded if it is past.
        """
        self._scheduler.check_room(key, None if deadline_s is None else _left_s(deadline_s, came_s))

    @property
    def queue_limit(self) -> int:
        """How many requests may wait, and how many steps may be submitted as one."""
        return self._scheduler.queue_limit

    @property
    def kernels(self) -> ThreadPoolExecutor:
        """The threads on which networks run."""
        return self._kernels

    async def aclose(self, grace_s: float = 0.0) -> None:
        """Take no more requests, wait up to `grace_s` for those under way, and end the threads."""
        try:
            async with asyncio.timeout(grace_s):
                await self._scheduler.drain()
        except TimeoutError:
            pass
        self._scheduler.models.close()
        self._kernels.shutdown(wait=False, cancel_futures=True)

    def _request(
        self,
        key: SessionKey,
        kind: Kind,
        identity: Identity,
        mark: bytes,
        inputs: Floats | None = None,
        reset: Mask | None = None,
    ) -> Request:
        if identity is not APPEND:
            check_identity(identity)
        return Request(key, kind, identity, mark, next(self._nonces), monotonic(), inputs, reset)

    def _describe(self, summary: SessionSummary) -> SessionAnswer:
        return SessionAnswer.of(summary, self._clock.now_s())


def _outputs(change: CommittedChange, rows: int) -> Floats | None:
    if change.output is None or not change.steps:
        return None
    return np.frombuffer(change.output, dtype="<f4").reshape(change.steps, rows, -1)


def _left_s(deadline_s: float, came_s: float | None) -> float:
    """Return how much of its time a request has left that came then. Raise DeadlineExceeded if it has none."""
    left_s = deadline_s if came_s is None else came_s + deadline_s - monotonic()
    if left_s <= 0:
        raise too_late(deadline_s)
    return left_s
