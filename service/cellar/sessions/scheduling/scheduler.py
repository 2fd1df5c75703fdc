"""The scheduler of sessions: a queue of requests for each session, from a request to the commit of its steps.

A request is dispatched once the session's record is there and the request's identity is found to be new. It runs
together with the steps that wait behind it, and is committed in one group with the requests of its kernel call.
`committer.py` has the rest: what becomes of the commit.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any, cast
from weakref import ref

from cellar.errors import CellarError, ModelDeleted, Overloaded, StoreUnavailable
from cellar.ports import (
    Commit,
    Committed,
    Floats,
    Identity,
    Mask,
    SessionKey,
    SessionRecord,
    SessionStore,
)
from cellar.sessions.execution.dry_run import DryRun
from cellar.sessions.execution.kernel_batch import BatchItem
from cellar.sessions.execution.model_cache import LoadedModel, ModelCache, ModelSource
from cellar.sessions.execution.thread_shares import ThreadShares
from cellar.sessions.requests.admission import Admission, ModelQueue
from cellar.sessions.requests.change_request import ChangeRequest, Stale
from cellar.sessions.requests.group_commit import GroupCommit
from cellar.sessions.requests.request import Request, StepRequest
from cellar.sessions.scheduling.commit_builder import bad_number, change_commit, edit_commit, steps_commit
from cellar.sessions.scheduling.committer import CONTENTION_S, CommitGroup, Committer, contended
from cellar.sessions.scheduling.session_cache import SessionCache
from cellar.sessions.scheduling.session_queue import SessionQueue, fits
from cellar.sessions.scheduling.step_rules import StepRules
from cellar.sessions.values.deleted_model import DeletedNetwork, model_deleted
from cellar.sessions.values.model_protocol import Network

logger = logging.getLogger(__name__)


class Scheduler:
    """Takes requests, and gives each an answer or an error. Everything here runs on the event loop."""

    def __init__(
        self,
        store: SessionStore,
        source: ModelSource,
        kernels: ThreadPoolExecutor,
        threads: int,
        *,
        kernel_rev: int,
        any_revision: bool,
        queue_limit: int,
        queue_wait_s: float,
        cache_bytes: int,
        model_cache_bytes: int,
        max_numbers: int,
        most_together: int,
    ) -> None:
        self._store = store
        self._group_commit = GroupCommit()
        self._admission = Admission(queue_limit, queue_wait_s, threads)
        self.models = ModelCache(
            source,
            ThreadShares(kernels, threads),
            self._ran,
            self._group_commit,
            self._admission,
            max_bytes=model_cache_bytes,
        )
        self._kernel_rev = kernel_rev
        self._rules = StepRules(
            kernel_rev=kernel_rev, any_revision=any_revision, max_numbers=max_numbers, most_together=most_together
        )
        self._cache = SessionCache(cache_bytes)
        self._committer = Committer(store, self._group_commit, self._cache, self._dispatch, self._next)
        self._held: list[SessionQueue] | None = None
        """Sessions with requests that are yet to be taken up."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()
        self._stopping = False

    def submit(self, request: Request[Any]) -> None:
        """Queue a request. Raise Overloaded if too many wait, or if the service is stopping."""
        if self._stopping:
            raise Overloaded("the service is stopping")
        self._enter(request, self._cache.known(request.key))
        queue = self._cache.queue(request.key)
        if self._held is None and self._run_at_once(queue, request):
            return
        queue.waiting.append(request)
        request.leave = self._leave_queue
        if queue.current:
            return
        if self._held is None:
            self._begin(queue)
        elif len(queue.waiting) == 1:
            self._held.append(queue)

    def _run_at_once(self, queue: SessionQueue, request: Request[Any]) -> bool:
        """Run a step that has nothing to wait for, like others before it, on what is at hand. Return whether it was.

        It is what `_begin` comes to for nearly all steps, in half of the time.
        """
        record, known = queue.record, queue.served
        if record is None or known is None or queue.familiar is None or queue.current or queue.waiting:
            return False
        if (
            not isinstance(request, StepRequest)
            or request.shape != queue.familiar
            or request.count > 1
            or request.reset is not None
        ):
            return False
        served = known()
        if request.predecessor is not None or served is None or not fits(request.identity, record):
            return False
        served.used_s = request.began_s
        request.begin(request.began_s)
        work = BatchItem([request], record)
        queue.current = [request]
        served.batcher.add(work, again=self._group_commit.is_recent(queue.tick))
        return True

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take up what is submitted in here at its end: the first request of a session then waits for those behind."""
        if self._held is not None:
            yield
            return
        held: list[SessionQueue] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            for queue in held:
                if queue.waiting and not queue.current:
                    self._begin(queue)

    @property
    def queue_limit(self) -> int:
        """How many requests may wait."""
        return self._admission.most

    @property
    def is_refusing(self) -> bool:
        """Whether requests were refused just now because too many wait."""
        return self._admission.is_refusing

    def check_room(self, key: SessionKey, left_s: float | None) -> None:
        """Raise Overloaded if a step of the session that has so much time left would be refused now."""
        queue = self._cache.known(key)
        served = queue.served() if queue is not None and queue.served is not None else None
        if queue is not None and served is not None and queue.familiar is not None:
            steps, rows, _ = queue.familiar
            self._admission.check(monotonic(), 1, served.queue, (rows, steps), left_s)

    def _leave_queue(self, request: Request[Any]) -> None:
        queue = self._cache.known(request.key)
        if queue is not None and request in queue.waiting:
            queue.waiting.remove(request)
            self._leave(request)

    async def attempt(self, record: SessionRecord, inputs: Floats, reset: Mask | None) -> DryRun:
        """Run a sequence on a session as it is given, among the steps of others, and commit nothing. Raise as steps do.

        Who is cancelled here leaves nothing.
        """
        if self._stopping:
            raise Overloaded("the service is stopping")
        self._admission.enter(monotonic())
        try:
            served = await self.models.fetch(record.key.tenant, record.meta)
            self._rules.check_sequence(record, inputs, reset, served.model.network.network)
            attempt = DryRun(record, inputs, reset, monotonic())
            served.batcher.add(attempt, again=True)
            await attempt.request
        finally:
            self._admission.leave()
            self._note_empty()
        return attempt

    def forget(self, key: SessionKey) -> None:
        """Drop what is believed of a session."""
        queue = self._cache.known(key)
        if queue is not None:
            self._cache.believe(queue, None)

    async def drain(self) -> None:
        """Take no more requests and wait until those that wait are answered."""
        self._stopping = True
        while self._admission.waiting:
            self._emptied.clear()
            await self._emptied.wait()

    # --- the way of a request ---------------------------------------------------------------------------------------

    def _begin(self, queue: SessionQueue) -> None:
        """Take up the next request that somebody still waits for.

        A session that cannot be stepped here gets out of that by a migration, which another process may have made: it
        is read again.
        """
        while queue.waiting:
            if queue.record is not None and not self._rules.can_step(queue.record.meta):
                self._cache.believe(queue, None)
            request = queue.waiting.popleft()
            queue.current = [request]  # busy, so that who is told something now and submits the next one queues up
            if not request.is_over():
                return self._dispatch(queue, request)
            self._leave(request)
        queue.current = []
        return self._cache.evict()

    def _dispatch(self, queue: SessionQueue, request: Request[Any]) -> None:
        """Go on with the request, unless it has ended meanwhile. Whatever goes wrong here is its answer."""
        if request.done():
            return self._next(queue)
        try:
            self._run_or_fetch(queue, request)
        except Exception as error:
            asyncio.get_running_loop().call_soon(self._refuse, queue, request, error)

    def _run_or_fetch(self, queue: SessionQueue, request: Request[Any]) -> None:
        """Run the request on the record that is at hand, if its place is there; else ask the store."""
        request.begin(monotonic())
        record = queue.record
        if record is None or not fits(request.identity, record):
            if request.identity.ordered and (steps := queue.take_apart()):
                return self._dispatch(queue, steps[0])
            return self._start(queue, request, self._fetch(queue, request))
        if record.meta.deleted is not None:
            return self._change_without_model(queue, request, record)
        served = (queue.served and queue.served()) or self.models.cached(queue.key.tenant, record.meta)
        if served is None:
            return self._start(queue, request, self._fetch_model(queue, request, record))
        return self._run(queue, request, record, served)

    async def _fetch(self, queue: SessionQueue, request: Request[Any]) -> None:
        identity = request.identity
        found: Committed | SessionRecord
        if identity.ordered:
            found = await self._store.find(queue.key, identity, request.fingerprint)
        else:
            found = await self._store.load(queue.key)
        if isinstance(found, Committed):
            return self._committer.end(queue, [found])
        self._cache.believe(queue, found)
        return self._dispatch(queue, request)

    async def _fetch_model(self, queue: SessionQueue, request: Request[Any], record: SessionRecord) -> None:
        try:
            served = await self.models.fetch(queue.key.tenant, record.meta)
        except ModelDeleted as error:
            return await self._look_again(queue, request, record, error)
        if request.done():
            return self._next(queue)
        return self._run(queue, request, record, served)

    async def _look_again(
        self, queue: SessionQueue, request: Request[Any], record: SessionRecord, error: ModelDeleted
    ) -> None:
        """Go on if the session has left the model that is gone, or is marked by now, or if the request needs no model.

        Else raise that it is gone.
        """
        now = await self._store.load(queue.key)
        if now.meta == record.meta:
            if not (request.any_model and isinstance(request, ChangeRequest)):
                raise error
            known = await self.models.known(queue.key.tenant, now.meta)
            commit = self._edit(queue, request, now, known.network)
            return None if commit is None else self._committer.commit([(queue, commit)])
        self._cache.believe(queue, now)
        return self._dispatch(queue, request)

    def _run(self, queue: SessionQueue, request: Request[Any], record: SessionRecord, served: LoadedModel) -> None:
        network = served.model.network
        served.used_s = request.tried_s
        if record is queue.record:
            queue.served = ref(served)
        try:
            if not request.any_revision:
                self._rules.check_revision(record.meta)
            if isinstance(request, StepRequest):
                if request.count > 1 and not self._rules.may_go_as_one(request, record):
                    request = queue.take_apart()[0]
                self._rules.check_steps(queue, request, record, network.network)
                self._enter_model(request, served.queue)
                if queue.waiting:
                    self._rules.join(queue, record, served)
                work = BatchItem(cast("list[StepRequest]", queue.current.copy()), record)
                return served.batcher.add(work, again=self._group_commit.is_recent(queue.tick))
            assert isinstance(request, ChangeRequest)
            commit = self._edit(queue, request, record, network)
        except Exception as error:  # whatever it is, the queue goes on
            # later, not now: a queue full of refused requests would nest one in the other
            asyncio.get_running_loop().call_soon(self._refuse, queue, request, error)
            return None
        return None if commit is None else self._committer.commit([(queue, commit)])

    def _change_without_model(self, queue: SessionQueue, request: Request[Any], record: SessionRecord) -> None:
        """Do to a session whose model was deleted what needs no model. Raise ModelDeleted for all else."""
        if not (request.any_model and isinstance(request, ChangeRequest)):
            raise model_deleted(record.meta.model)
        commit = self._edit(queue, request, record, DeletedNetwork(record.meta))
        return None if commit is None else self._committer.commit([(queue, commit)])

    def _edit(
        self, queue: SessionQueue, request: ChangeRequest, record: SessionRecord, network: Network
    ) -> Commit | None:
        """Return the commit of a change that is not a step, None if it has to ask the store first and will follow."""
        if request.prepare is None:
            return edit_commit(record, request, network, self._kernel_rev)
        self._start(queue, request, self._prepare(queue, request, record, network))
        return None

    async def _prepare(
        self, queue: SessionQueue, request: ChangeRequest, record: SessionRecord, network: Network
    ) -> None:
        assert request.prepare is not None
        try:
            edited = await request.prepare(record, network)
        except Stale:
            if monotonic() - request.taken_s > CONTENTION_S:
                raise contended() from None
            self._cache.believe(queue, None)
            return self._dispatch(queue, request)
        except ModelDeleted as error:
            return await self._look_again(queue, request, record, error)
        if request.done():
            return self._next(queue)
        return self._committer.commit([(queue, change_commit(record, request, network, edited, self._kernel_rev))])

    def _ran(self, works: Sequence[BatchItem], failure: Exception | None) -> None:
        """Commit what ran together. Called by the batchers."""
        tick: CommitGroup = []
        for work in works:
            try:
                if isinstance(work, DryRun):
                    work.end(failure or work.failure or bad_number(work))
                elif not work.began and failure is None:
                    self._drop_ended(work)
                else:
                    self._add_commit(tick, work, failure)
            except Exception as error:  # a fault of our own is the answer to this work alone
                logger.exception("steps of session %s had run and were not committed", work.record.key.session)
                self._fail(work, error)
        if tick:
            self._committer.commit(tick)

    def _add_commit(self, tick: CommitGroup, work: BatchItem, failure: Exception | None) -> None:
        """Add the commit of a work that has run to the tick, or refuse its requests."""
        queue = self._queue_of(work)
        if not work.wanted:  # nothing is committed
            queue.put_back(len(work.requests))
            return self._next(queue)
        failure = failure or work.failure
        if failure is not None:
            return self._refuse(queue, queue.current[0], failure)
        try:
            commit = steps_commit(work, self._kernel_rev)
        except Exception as error:  # it belongs to those who wait for this work alone
            return self._refuse(queue, queue.current[0], error)
        if not isinstance(commit, Commit):
            return self._refuse(queue, queue.current[0], commit)
        if len(queue.current) > 1:
            queue.put_back(len(work.requests))
        return tick.append((queue, commit))

    def _drop_ended(self, work: BatchItem) -> None:
        """Let the other requests of a work go on, of which some had ended before its turn came."""
        queue = self._queue_of(work)
        queue.put_back(0)
        self._begin(queue)

    def _fail(self, work: BatchItem, error: Exception) -> None:
        if isinstance(work, DryRun):
            return work.request.finish(error)
        queue = self._queue_of(work)
        return self._committer.end(queue, [error] * len(queue.current))

    def _queue_of(self, work: BatchItem) -> SessionQueue:
        queue = self._cache.known(work.record.key)
        assert queue is not None, "a queue that is busy stays"
        return queue

    # --- endings ----------------------------------------------------------------------------------------------------

    def _refuse(self, queue: SessionQueue, request: Request[Any], error: Exception) -> None:
        """End the request with the error, unless its Idempotency-Key has an answer: that stands whatever is now.

        Those that were to go with it are no better off: they wait again.
        """
        if not isinstance(error, StoreUnavailable) and (steps := queue.take_apart()):
            return self._dispatch(queue, steps[0])
        queue.put_back(1)
        if request.identity.key is None or isinstance(error, StoreUnavailable):
            return self._committer.end(queue, [error])
        return self._start(queue, request, self._find_or_refuse(queue, request, error))

    async def _find_or_refuse(self, queue: SessionQueue, request: Request[Any], error: Exception) -> None:
        try:
            found = await self._store.find(queue.key, Identity(key=request.identity.key), request.fingerprint)
        except CellarError as other:
            return self._committer.end(queue, [other])
        return self._committer.end(queue, [found if isinstance(found, Committed) else error])

    def _next(self, queue: SessionQueue) -> None:
        for request in queue.current:
            self._leave(request)
        self._begin(queue)

    def _enter(self, request: Request[Any], queue: SessionQueue | None) -> None:
        """Let the request wait. Raise Overloaded if it would take too long, as far as the session's model is known."""
        now_s, served = request.began_s, queue.served() if queue is not None and queue.served is not None else None
        if served is None or not isinstance(request, StepRequest):
            request.model = self._admission.enter(now_s, request.count, left_s=request.left_s(now_s))
        else:
            left_s = request.left_s(now_s)
            request.model = self._admission.enter(now_s, request.count, served.queue, request.size, left_s)

    def _enter_model(self, request: StepRequest, queue: ModelQueue) -> None:
        """Count the request with its model, which was not known when it came. Raise Overloaded."""
        if request.model is None:
            left_s = request.left_s(request.tried_s)
            request.model = self._admission.move(request.tried_s, request.count, queue, request.size, left_s)

    def _leave(self, request: Request[Any]) -> None:
        if request.model is None:  # nearly always
            self._admission.leave(request.count)
        else:
            self._admission.leave(request.count, request.model, request.size)
        if self._stopping:
            self._note_empty()

    def _note_empty(self) -> None:
        if not self._admission.waiting:
            self._emptied.set()

    def _start(self, queue: SessionQueue, request: Request[Any], way: Coroutine[Any, Any, None]) -> None:
        """Go a part of the request's way that has to wait, and end the request if it fails there."""
        self._spawn(self._guard(queue, request, way))

    async def _guard(self, queue: SessionQueue, request: Request[Any], way: Coroutine[Any, Any, None]) -> None:
        try:
            await way
        except CellarError as error:
            self._refuse(queue, request, error)
        except Exception as error:
            self._committer.end(queue, [error])

    def _spawn(self, way: Coroutine[Any, Any, None]) -> None:
        # tasks of our own: a caller that is cancelled cancels none of them
        task = asyncio.create_task(way)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
