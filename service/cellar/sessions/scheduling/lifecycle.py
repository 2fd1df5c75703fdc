"""The transitions of a request in their order: it is dispatched, run, committed and answered.

Each section makes the transitions of `request_state.py` into a state. The current requests of a session go through the
states together. A record or model that is not at hand is fetched by `preparation.py`; then the request continues here.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, cast
from weakref import ref

from cellar.errors import CellarError, StoreUnavailable
from cellar.ports import Applied, Commit, CommitConflict, CommitResult, Committed, SessionRecord, SessionStore
from cellar.sessions.execution.dry_run import DryRun
from cellar.sessions.execution.kernel_batch import BatchItem
from cellar.sessions.execution.micro_batcher import Batcher
from cellar.sessions.execution.model_cache import LoadedModel, ModelCache
from cellar.sessions.requests.admission import Admission
from cellar.sessions.requests.change_request import ChangeRequest
from cellar.sessions.requests.group_commit import CommitInFlight, GroupCommit
from cellar.sessions.requests.request import Request, StepRequest
from cellar.sessions.requests.request_state import COMMITTING, RUNNING
from cellar.sessions.requests.step_batch import answer
from cellar.sessions.scheduling.commit_builder import bad_number, edit_commit, steps_commit
from cellar.sessions.scheduling.contention import MAX_WANTED_PAUSE_S, note_loss
from cellar.sessions.scheduling.preparation import Found, Preparation, Prepared, Preparing
from cellar.sessions.scheduling.session_queues import SessionCache, SessionQueue, fits
from cellar.sessions.scheduling.step_rules import StepRules
from cellar.sessions.values.model_protocol import Network

logger = logging.getLogger(__name__)
CommitGroup = list[tuple[SessionQueue, Commit]]
Ended = CommitResult | Exception


class Lifecycle:
    """Takes requests from the queues of their sessions to their answers. Everything here runs on the event loop."""

    def __init__(
        self,
        store: SessionStore,
        preparation: Preparation,
        models: ModelCache,
        admission: Admission,
        cache: SessionCache,
        rules: StepRules,
    ) -> None:
        self._store = store
        self._preparation = preparation
        self._models, self._admission = models, admission
        self._cache, self._rules = cache, rules
        self.group_commit, self._tasks = GroupCommit(), preparation.tasks
        self.logged: Callable[[Commit], None] = lambda _: None  # each commit that was applied to a session with a log

    # --- dispatched -------------------------------------------------------------------------------------------------

    def take_up(self, queue: SessionQueue) -> None:
        """Take up the next request that has not ended.

        The record of a session that cannot be stepped here is read again: another process may have migrated it.
        """
        while queue.waiting:
            if queue.record is not None and not self._rules.can_step(queue.record.meta):
                self._cache.set_record(queue, None)
            request = queue.waiting.popleft()
            queue.current = [request]  # a client may submit its next request before this returns
            if not request.is_over():
                return self._dispatch(queue, request)
            request.leave_admission(self._admission)
        queue.current = []
        return self._cache.evict()

    def run_at_once(self, queue: SessionQueue, request: Request[Any]) -> bool:
        """Run a step for which all is at hand, as `take_up` in half the time. Return whether it was run."""
        served, record = queue.model_for(request), queue.record
        if served is None or record is None:
            return False
        served.used_s = request.began_s
        request.begin(request.began_s)
        queue.current = [request]
        self._add(queue, served, [request], record)
        return True

    def _dispatch(self, queue: SessionQueue, request: Request[Any]) -> None:
        """Continue with the request, unless it has ended. An error in here becomes its answer."""
        if request.done():
            return self._next(queue)
        try:
            self._run_or_fetch(queue, request)
        except Exception as error:
            asyncio.get_running_loop().call_soon(self._refuse, queue, request, error)

    def _run_or_fetch(self, queue: SessionQueue, request: Request[Any]) -> None:
        """Run the request on the record at hand, if its position is there; else read the record from the store."""
        request.begin(monotonic())
        record = queue.record
        if record is None:
            then, failed = partial(self._go_on, queue, request, None), partial(self._fail, queue, request)
            return self._tasks.load(queue.key, then, failed)
        if not fits(request.identity, record):
            if request.identity.ordered and (steps := queue.take_apart()):
                return self._dispatch(queue, steps[0])
            return self._wait(queue, request, self._preparation.record(queue.key, request))
        if self._preparation.must_follow(request, record):
            return self._wait(queue, request, self._preparation.follow(record), record)
        if record.meta.deleted is not None:
            change, network = self._preparation.change_without_model(request, record)
            return self._change(queue, change, record, network)
        served = (queue.served and queue.served()) or self._models.cached(queue.key.tenant, record.meta)
        if served is None:
            return self._wait(queue, request, self._preparation.model(queue.key, request, record), record)
        return self._run(queue, request, record, served)

    def _wait(
        self, queue: SessionQueue, request: Request[Any], way: Preparing, record: SessionRecord | None = None
    ) -> None:
        """Continue with the result of a preparation."""
        self._tasks.start(way, partial(self._go_on, queue, request, record), partial(self._fail, queue, request))

    def _go_on(self, queue: SessionQueue, request: Request[Any], record: SessionRecord | None, found: Prepared) -> None:
        if isinstance(found, Committed | Exception):
            self.end(queue, [found])
        elif isinstance(found, Found):
            self._cache.set_record(queue, found.record)
            self._dispatch(queue, request)
        elif request.done():
            self._next(queue)
        elif isinstance(found, Commit):
            self._commit([(queue, found)])
        else:
            assert record is not None
            self._run(queue, request, record, found)

    def _fail(self, queue: SessionQueue, request: Request[Any], error: Exception) -> None:
        if isinstance(error, CellarError):
            return self._refuse(queue, request, error)
        return self.end(queue, [error])

    def _change(self, queue: SessionQueue, request: ChangeRequest, record: SessionRecord, network: Network) -> None:
        """Commit a change that is not a step, at once or after its preparation."""
        if request.prepare is not None:
            return self._wait(queue, request, self._preparation.change(queue.key, request, record, network))
        return self._commit([(queue, edit_commit(record, request, network, self._rules.kernel_rev))])

    # --- running ----------------------------------------------------------------------------------------------------

    def _run(self, queue: SessionQueue, request: Request[Any], record: SessionRecord, served: LoadedModel) -> None:
        """Run the request on the record, together with steps that wait behind it."""
        if self._preparation.must_follow(request, record):  # the alias has moved while the model was loaded
            return self._wait(queue, request, self._preparation.follow(record), record)
        network = served.model.network
        served.used_s = request.tried_s
        if record is queue.record:
            queue.served = ref(served)
        try:
            if not request.any_revision:
                self._rules.check_change(record)
            if isinstance(request, ChangeRequest):
                return self._change(queue, request, record, network)
            assert isinstance(request, StepRequest)
            if request.count > 1 and not self._rules.may_go_as_one(request, record):
                request = queue.take_apart()[0]
                request.begin(request.tried_s)
            self._rules.check_steps(queue, request, record, served.model)
            request.enter_model(self._admission, served.queue)
            if queue.waiting:
                self._rules.join(queue, record, served)
            self._add(queue, served, queue.current.copy(), record)
        except Exception as error:  # the queue must continue
            # later: with a queue full of such requests these calls would nest
            asyncio.get_running_loop().call_soon(self._refuse, queue, request, error)

    def _add(self, queue: SessionQueue, served: LoadedModel, group: list[Request[Any]], record: SessionRecord) -> None:
        """Put the steps of a session into the next batch of its model, or of all models."""
        for request in group:
            request.move_to(RUNNING)
        work = BatchItem(cast("list[StepRequest]", group), record, served.model.network)
        self.add(served, work, again=self.group_commit.is_recent(queue.group_number))

    def add(self, served: LoadedModel, work: BatchItem, *, again: bool) -> None:
        """Have the work run in the next batch, after this call has returned."""
        batcher = served.shared if work.left == 1 and work.rows <= served.shared_rows else served.batcher
        batcher.add(work, again=again)
        if not batcher.is_claimed:  # works of the same turn of the event loop share the batch
            batcher.is_claimed = True
            asyncio.get_running_loop().call_soon(self._release, batcher)
        elif batcher.asks:
            self.group_commit.more(again=again)

    def _release(self, batcher: Batcher) -> None:
        """Run a batch as soon as another group may be committed."""
        batcher.asks = True
        most = self.group_commit.ask(batcher.waiting, batcher.again, partial(self._run_batch, batcher))
        if most:
            self.group_commit.took(self._run_batch(batcher, most))

    def _run_batch(self, batcher: Batcher, most: int) -> int:
        """Run up to `most` works, here or on a thread. Return how many."""
        batcher.asks, batcher.began_s = False, self.group_commit.released_s
        begun, works, failure = batcher.start(most, partial(self._end_batch, batcher))
        if works is not None:
            self._end_batch(batcher, works, failure)
        return begun

    def _end_batch(self, batcher: Batcher, works: Sequence[BatchItem], failure: Exception | None) -> None:
        """Commit the works of a batch that have ended, and have the next batch run."""
        try:
            self._commit_works(batcher.keep_unfinished(works, failure), failure, batcher.began_s)
        except Exception:
            logger.exception("%d works that had run were not taken", len(works))
        finally:
            batcher.is_claimed = batcher.waiting > 0
            if batcher.is_claimed:
                asyncio.get_running_loop().call_soon(self._release, batcher)

    # --- committing -------------------------------------------------------------------------------------------------

    def _commit_works(self, works: Sequence[BatchItem], failure: Exception | None, kernel_s: float) -> None:
        """Commit works that have run together since `kernel_s`, in one group."""
        group: CommitGroup = []
        for work in works:
            if isinstance(work, DryRun):
                work.end(failure or work.failure or bad_number(work))
                continue
            queue = self._cache.known(work.record.key)
            assert queue is not None, "a queue that is busy stays"
            try:
                self._add_commit(group, queue, work, failure)
            except Exception as error:  # a fault of the service, which must not reach other works
                logger.exception("steps of session %s had run and were not committed", queue.key.session)
                self.end(queue, [error] * len(queue.current))
        if group:
            self._commit(group, kernel_s)

    def _add_commit(self, group: CommitGroup, queue: SessionQueue, work: BatchItem, failure: Exception | None) -> None:
        """Add the commit of a work that has run to the group, or refuse its requests."""
        if not work.began and failure is None:  # one of its requests had ended: the others run without it
            queue.put_back(0)
            return self.take_up(queue)
        if not work.wanted:  # all its requests were cancelled: nothing is committed
            queue.put_back(len(work.requests))
            return self._next(queue)
        failure = failure or work.failure
        if failure is not None:
            return self._refuse(queue, queue.current[0], failure)
        try:
            commit = steps_commit(work, self._rules.kernel_rev, self._rules.state_every)
        except Exception as error:  # an error of this work alone
            return self._refuse(queue, queue.current[0], error)
        if not isinstance(commit, Commit):
            return self._refuse(queue, queue.current[0], commit)
        if len(queue.current) > 1:
            queue.put_back(len(work.requests))
        return group.append((queue, commit))

    def _commit(self, group: CommitGroup, kernel_s: float = 0.0) -> None:
        """Send the commits of current requests to the store."""
        number = self.group_commit.number
        for queue, _ in group:
            queue.group_number = number
            for request in queue.current:
                request.move_to(COMMITTING)
        on_results = partial(self._end_commits, group, self.group_commit.begin(len(group), kernel_s))
        try:
            self._store.post([commit for _, commit in group], on_results)
        except Exception as error:  # a fault of the service: nothing was sent
            asyncio.get_running_loop().call_soon(on_results, range(len(group)), [error] * len(group))

    # --- answered ---------------------------------------------------------------------------------------------------

    def _end_commits(
        self, group: CommitGroup, sent: CommitInFlight, part: Sequence[int], results: Sequence[Ended]
    ) -> None:
        """Answer the requests of the commits whose results have come."""
        try:
            self.group_commit.end(sent)  # with the first part: a late part must not delay other groups
        except Exception:  # the requests of this group must be answered
            logger.exception("the next batch was not begun")
        for (queue, commit), result in zip([group[index] for index in part], results, strict=True):
            try:
                self._end_commit(queue, commit, result, sent)
            except Exception as error:  # the other commits of the group must be ended
                logger.error("a commit of session %s was not ended", queue.key.session, exc_info=error)
                self._cache.set_record(queue, None)
                self.end(queue, [error] * len(queue.current))

    def _end_commit(self, queue: SessionQueue, commit: Commit, result: Ended, sent: CommitInFlight) -> None:
        """Answer the requests of a commit, or run them again if the session had changed before it."""
        if isinstance(result, Applied):
            sent.count_steps(queue.current, commit, queue.model_counts(commit.before.meta.model))
            self._cache.set_record(queue, commit.after)
            if commit.before.meta.log:
                self.logged(commit)
            self._answer(queue, commit, result.pause_s)
        elif isinstance(result, CommitConflict):
            self._cache.set_record(queue, result.record if result.has_state else None)
            request = queue.keep_first()
            error = note_loss(request, commit, result.record)
            if error is None:
                self._dispatch(queue, request)
            else:
                self.end(queue, [error])
        else:
            self._cache.set_record(queue, None)
            if isinstance(result, Committed):
                queue.keep_first()
            self.end(queue, [result] * len(queue.current))

    def _answer(self, queue: SessionQueue, commit: Commit, pause_s: float) -> None:
        """Answer the requests with their changes, and take up the next one, after a pause if one was asked for."""
        changes, meta = commit.changes, commit.before.meta
        model = None if meta.following is None else meta.model
        if len(changes) == 1 and queue.current[0].count == 1:  # nearly always
            change = changes[0]
            queue.current[0].succeed(change.after, change.steps, change.output, False, model)
        else:
            answer(queue.current, changes, model)
        if pause_s:
            asyncio.get_running_loop().call_later(min(pause_s, MAX_WANTED_PAUSE_S), self._next, queue)
        else:
            self._next(queue)

    def end(self, queue: SessionQueue, results: Sequence[Committed | Exception]) -> None:
        """Answer the current requests, each with its result, and take up the next one."""
        for request, result in zip(queue.current, results, strict=True):
            if isinstance(result, Committed):
                request.succeed(result.position, result.steps, result.output, result.replayed, result.model)
            else:
                request.finish(result)
        self._next(queue)

    def _refuse(self, queue: SessionQueue, request: Request[Any], error: Exception) -> None:
        """Answer the request with the error, unless its Idempotency-Key was answered before: then with that answer.

        Steps of a batch run one by one; other requests of its group wait again.
        """
        if not isinstance(error, StoreUnavailable) and (steps := queue.take_apart()):
            return self._dispatch(queue, steps[0])
        queue.put_back(1)
        if request.identity.key is None or isinstance(error, StoreUnavailable):
            return self.end(queue, [error])
        return self._wait(queue, request, self._preparation.answer(queue.key, request, error))

    def _next(self, queue: SessionQueue) -> None:
        for request in queue.current:
            request.leave_admission(self._admission)
        self.take_up(queue)
