"""The scheduler of sessions: accepts requests, and limits how many may wait.

`lifecycle.py` takes them from there to their answers.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from cellar.errors import Overloaded
from cellar.memory.request_memory import RequestMemory
from cellar.ports import Commit, Floats, ModelUses, RowFlags, SessionKey, SessionRecord, SessionStore
from cellar.sessions.execution.aliases import Aliases
from cellar.sessions.execution.dry_run import DryRun
from cellar.sessions.execution.model_cache import ModelCache, ModelSource
from cellar.sessions.execution.state_recovery import StateRecovery
from cellar.sessions.execution.thread_shares import ThreadShares
from cellar.sessions.requests.admission import Admission
from cellar.sessions.requests.request import Request
from cellar.sessions.scheduling.alias_follower import AliasFollower
from cellar.sessions.scheduling.lifecycle import Lifecycle
from cellar.sessions.scheduling.preparation import Preparation
from cellar.sessions.scheduling.session_queues import SessionCache, SessionQueue
from cellar.sessions.scheduling.step_rules import StepRules
from cellar.sessions.values.limits import SessionLimits


class Scheduler:
    """Takes requests, and gives each an answer or an error. Everything here runs on the event loop."""

    def __init__(
        self,
        store: SessionStore,
        uses: ModelUses,
        source: ModelSource,
        kernels: ThreadPoolExecutor,
        threads: int,
        limits: SessionLimits,
        memory: RequestMemory,
    ) -> None:
        self.admission = Admission(limits.queue_limit, limits.queue_wait_s, threads)
        shares = ThreadShares(kernels, threads)
        self.models = ModelCache(source, uses, shares, self.admission, max_bytes=limits.model_cache_bytes)
        self._rules = StepRules(limits, memory)
        self._cache = SessionCache(limits.cache_bytes, store, self.models)
        self.aliases = Aliases(source, self._cache.forget_models_of_followers)
        self._follower = AliasFollower(store, uses, self.models, self.aliases)
        self.recovery = StateRecovery(self.models, kernels, limits)
        preparation = Preparation(store, self.models, self._follower, self.recovery, self._rules.kernel_rev)
        self._lifecycle = Lifecycle(store, preparation, self.models, self.admission, self._cache, self._rules)
        self._held: list[SessionQueue] | None = None
        """Sessions whose requests are taken up at the end of `together`; None outside it."""
        self._store = store
        self._stopping = False

    @property
    def gauges(self) -> dict[str, float]:
        """The present numbers and sizes of sessions and models, by the names of metrics."""
        return {
            "cellar_sessions_cached": self._cache.count,
            "cellar_session_cache_bytes": self._cache.bytes,
            "cellar_models_loaded": self.models.count,
            "cellar_model_cache_bytes": self.models.size_bytes,
            "cellar_requests_waiting": self.admission.waiting,
        }

    def call_with_logged(self, logged: Callable[[Commit], None]) -> None:
        """Call a function with each commit that is applied to a session with a log."""
        self._lifecycle.logged = logged

    def submit(self, request: Request[Any]) -> None:
        """Queue a request. Raise Overloaded if too many wait, or if the service is stopping."""
        if self._stopping:
            raise Overloaded("the service is stopping")
        known = self._cache.known(request.key)
        served = None if known is None or known.served is None else known.served()
        request.enter(self.admission, None if served is None else served.queue)
        queue = self._cache.queue(request.key)
        if self._held is None and self._lifecycle.run_at_once(queue, request):
            return
        queue.waiting.append(request)
        request.leave = self._leave_queue
        if queue.current:
            return
        if self._held is None:
            self._lifecycle.take_up(queue)
        elif len(queue.waiting) == 1:
            self._held.append(queue)

    def together(self) -> "Together":
        """Take up requests that are submitted in this context at its end, so that those of a session share a commit."""
        return Together(self)

    def hold(self) -> bool:
        """Take up no requests until `take_up_held`; return False if that is so already."""
        if self._held is not None:
            return False
        self._held = []
        return True

    def take_up_held(self) -> None:
        """Take up the requests that were held."""
        held, self._held = self._held, None
        for queue in held or ():
            if queue.waiting and not queue.current:
                self._lifecycle.take_up(queue)

    def check_room(self, key: SessionKey, left_s: float | None) -> None:
        """Raise Overloaded if a step of the session with `left_s` seconds left would be refused now."""
        queue = self._cache.known(key)
        served = queue.served() if queue is not None and queue.served is not None else None
        if queue is not None and served is not None and queue.checked_shape is not None:
            steps, rows, _ = queue.checked_shape
            self.admission.check(monotonic(), 1, served.queue, (rows, steps), left_s)

    def is_busy(self, key: SessionKey) -> bool:
        """Return whether the session has requests that are not answered."""
        queue = self._cache.known(key)
        return queue is not None and not queue.idle

    def _leave_queue(self, request: Request[Any]) -> None:
        queue = self._cache.known(request.key)
        if queue is not None and request in queue.waiting:
            queue.waiting.remove(request)
            request.leave_admission(self.admission)

    def admit_attempt(self) -> None:
        """Count an attempt as waiting; the caller counts its end. Raise Overloaded."""
        if self._stopping:
            raise Overloaded("the service is stopping")
        self.admission.enter(monotonic())

    async def attempt(self, record: SessionRecord, inputs: Floats, flags: RowFlags | None) -> DryRun:
        """Run a sequence on a session as it is given, in batches with other requests, and commit nothing.

        Raise the errors of steps.
        """
        record = await self.recovery.recover(record)
        served = await self.models.fetch(record.key.tenant, record.meta)
        self._rules.check_sequence(record, inputs, flags, served.model.network.network)
        attempt = DryRun(record, served.model.network, inputs, flags, monotonic())
        self._lifecycle.add(served, attempt, again=True)
        await attempt.request
        return attempt

    async def follow(self, record: SessionRecord) -> SessionRecord:
        """Return a session on the version that its alias names, once it has moved there. Raise as its steps."""
        while self._follower.may_be_behind(record):
            record = await self.recover(record)
            record = await self._follower.follow(record) or await self._store.load(record.key)
        return record

    async def recover(self, record: SessionRecord) -> SessionRecord:
        """Return a session with its present state. Raise ModelDeleted or KernelRevisionMismatch if it is not known."""
        found = await self.recovery.recover(record)
        if found.redo:
            self._rules.check_change(found)
        return found

    def forget(self, key: SessionKey) -> None:
        """Forget the record of a session."""
        queue = self._cache.known(key)
        if queue is not None:
            self._cache.set_record(queue, None)
            self._cache.evict()

    async def drain(self) -> None:
        """Take no more requests and wait until those that wait are answered."""
        self._stopping = True
        emptied = asyncio.Event()
        self.admission.on_empty = emptied.set
        if self.admission.waiting:
            await emptied.wait()


class Together:
    """The context of `Scheduler.together`. In another one it has no effect."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_outer = False

    def __enter__(self) -> None:
        """Hold requests."""
        self._is_outer = self._scheduler.hold()

    def __exit__(self, *_: object) -> None:
        """Take them up."""
        if self._is_outer:
            self._scheduler.take_up_held()
