"""The lanes of all sessions: who is next, what the session is believed to be, and what became of a commit.

A request of a lane is dispatched (is the record at hand, and the request's place in it?), run together with the steps
that wait behind it, and committed in the tick of those it ran with. If the session has moved, the record that came back
is the new belief and the request is dispatched again: a lost race is never an answer.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from cellar.errors import CellarError, Overloaded, Regressed, StoreUnavailable
from cellar.ports import (
    Applied,
    Change,
    Commit,
    CommitResult,
    Committed,
    Identity,
    Moved,
    SessionKey,
    SessionRecord,
    SessionStore,
)
from cellar.runtime.admission import Admission
from cellar.runtime.ahead import Ahead
from cellar.runtime.answers import Floats, Mask
from cellar.runtime.attempt import Attempt
from cellar.runtime.burst import answer
from cellar.runtime.cache import LaneCache
from cellar.runtime.changes import (
    bad_number,
    change_commit,
    check_inputs,
    check_reset,
    check_revision,
    check_state,
    edit_commit,
    steps_commit,
)
from cellar.runtime.flights import Flight, Flights
from cellar.runtime.lane import Lane, fits, join_waiting
from cellar.runtime.models import LoadModel, Models, Served
from cellar.runtime.network import Network, Sizes
from cellar.runtime.request import Request, Stale
from cellar.runtime.work import Work

logger = logging.getLogger(__name__)

PATIENT_LOSSES = 3
"""Races that a request loses by chance before it asks the other processes to let it in."""

LONGEST_ASK_S = 0.1
"""A process asks for twice what its last try took, and for no more than this."""

CONTENTION_S = 20.0
"""How long a request may lose races before it is given up: many asks, so only a fault gets there."""

Tick = list[tuple[Lane, Commit]]


class Lanes:
    """Takes requests, and gives each an answer or an error. Everything here runs on the event loop."""

    def __init__(
        self,
        store: SessionStore,
        load_model: LoadModel,
        kernels: ThreadPoolExecutor,
        *,
        kernel_rev: int,
        any_revision: bool,
        queue_limit: int,
        queue_wait_s: float,
        cache_bytes: int,
        max_numbers: int,
        most_together: int,
        ahead: bool = True,
    ) -> None:
        self._store = store
        self._flights = Flights()
        self.models = Models(load_model, kernels, self._ran, self._flights)
        self._kernel_rev = kernel_rev
        self._any_revision = any_revision
        self._admission = Admission(queue_limit, queue_wait_s)
        self._max_numbers = max_numbers
        self._most_together = most_together
        self._ahead = (
            Ahead(kernels, lambda: not (self._admission.waiting or self._stopping), self._keep_ahead) if ahead else None
        )
        self._cache = LaneCache(cache_bytes)
        self._held: list[Lane] | None = None
        """Sessions with requests that are yet to be taken up."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()
        self._stopping = False

    def submit(self, request: Request) -> None:
        """Queue a request. Raise Overloaded if too many wait, or if the service is stopping."""
        if self._stopping:
            raise Overloaded("the service is stopping")
        self._admission.enter(request.began_s, request.count)
        lane = self._cache.lane(request.key)
        lane.waiting.append(request)
        request.leave = self._leave_queue
        if lane.current:
            return
        if self._held is None:
            self._begin(lane)
        elif len(lane.waiting) == 1:
            self._held.append(lane)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take up what is submitted in here at its end: the first request of a session then waits for those behind."""
        if self._held is not None:
            yield
            return
        held: list[Lane] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            for lane in held:
                if lane.waiting and not lane.current:
                    self._begin(lane)

    def _leave_queue(self, request: Request) -> None:
        lane = self._cache.known(request.key)
        if lane is not None and request in lane.waiting:
            lane.waiting.remove(request)
            self._leave(request.count)

    async def attempt(self, record: SessionRecord, inputs: Floats, reset: Mask | None) -> Attempt:
        """Run a sequence on a session as it is given, among the steps of others, and commit nothing. Raise as steps do.

        Who is cancelled here leaves nothing.
        """
        if self._stopping:
            raise Overloaded("the service is stopping")
        loop = asyncio.get_running_loop()
        self._admission.enter(loop.time())
        try:
            served = await self.models.fetch(record.key.tenant, record.meta)
            sizes = served.model.network.network
            if not self._any_revision:
                check_revision(record.meta, self._kernel_rev)
            check_inputs(inputs, "sequence", record.meta, sizes, self._max_numbers)
            check_reset(reset, record.meta)
            check_state(record, sizes)
            attempt = Attempt(record, inputs, reset, loop.time())
            served.batcher.add(attempt)
            await attempt.request.come()
        finally:
            self._leave()
        return attempt

    def _is_idle(self) -> bool:
        return not (self._admission.waiting or self._stopping)

    def forget(self, key: SessionKey) -> None:
        """Drop what is believed of a session."""
        lane = self._cache.known(key)
        if lane is not None:
            self._cache.believe(lane, None)

    async def drain(self) -> None:
        """Take no more requests and wait until those that wait are answered."""
        self._stopping = True
        while self._admission.waiting:
            self._emptied.clear()
            await self._emptied.wait()

    # --- the way of a request ---------------------------------------------------------------------------------------

    def _begin(self, lane: Lane) -> None:
        """Take up the next request that somebody still waits for."""
        while lane.waiting:
            request = lane.waiting.popleft()
            lane.current = [request]  # busy, so that who is told something now and submits the next one queues up
            if not request.is_over():
                return self._dispatch(lane, request)
            self._leave(request.count)
        lane.current = []
        return self._cache.evict()

    def _dispatch(self, lane: Lane, request: Request) -> None:
        """Run the request on the record that is at hand, if its place is there; else ask the store."""
        now_s = asyncio.get_running_loop().time()
        request.begin(now_s)
        record = lane.record
        if record is None or not fits(request.identity, record):
            if request.identity.ordered and self._take_apart(lane):
                return self._dispatch(lane, lane.current[0])
            return self._start(lane, request, self._fetch(lane, request))
        served = lane.served
        if served is None or not served.is_fresh(now_s):
            served = self.models.cached(lane.key.tenant, record.meta)
            if served is None:
                return self._start(lane, request, self._fetch_model(lane, request, record))
        return self._run(lane, request, record, served)

    async def _fetch(self, lane: Lane, request: Request) -> None:
        identity = request.identity
        found: Committed | SessionRecord
        if identity.ordered:
            found = await self._store.find(lane.key, identity, request.fingerprint)
        else:
            found = await self._store.load(lane.key)
        if isinstance(found, Committed):
            return self._end(lane, [found])
        self._cache.believe(lane, found)
        return self._dispatch(lane, request)

    async def _fetch_model(self, lane: Lane, request: Request, record: SessionRecord) -> None:
        self._run(lane, request, record, await self.models.fetch(lane.key.tenant, record.meta))

    def _run(self, lane: Lane, request: Request, record: SessionRecord, served: Served) -> None:
        network = served.model.network
        if record is lane.record:
            lane.served = served
        try:
            if not (request.any_revision or self._any_revision):
                check_revision(record.meta, self._kernel_rev)
            if request.inputs is not None:
                if not self._may_go_as_one(request, record) and self._take_apart(lane):
                    request = lane.current[0]
                self._check_steps(lane, request, record, network.network)
                if lane.waiting:
                    self._join(lane, record, network)
                return served.batcher.add(
                    Work(lane.current.copy(), record, lane.ahead if lane.record is record else None)
                )
            if request.prepare is not None:
                return self._start(lane, request, self._prepare(lane, request, record, network))
            commit = edit_commit(record, request, network, self._kernel_rev)
        except Exception as error:  # whatever it is, the lane goes on
            # later, not now: a lane full of refused requests would nest one in the other
            asyncio.get_running_loop().call_soon(self._refuse, lane, request, error)
            return None
        return self._commit([(lane, commit)])

    def _check_steps(self, lane: Lane, request: Request, record: SessionRecord, sizes: Sizes) -> None:
        """Raise what keeps these steps from being run on the record."""
        inputs = request.inputs
        assert inputs is not None
        if request.shape == lane.familiar and request.reset is None and record is lane.record:
            return
        check_inputs(inputs, request.kind, record.meta, sizes, self._max_numbers)
        check_reset(request.reset, record.meta)
        check_state(record, sizes)
        if record is lane.record and not (sizes.takes_ids or sizes.whole_sequences):
            lane.familiar = request.shape

    async def _prepare(self, lane: Lane, request: Request, record: SessionRecord, network: Network) -> None:
        assert request.prepare is not None
        try:
            edited = await request.prepare(record, network)
        except Stale:
            if asyncio.get_running_loop().time() - request.taken_s > CONTENTION_S:
                raise _contended() from None
            self._cache.believe(lane, None)
            return self._dispatch(lane, request)
        return self._commit([(lane, change_commit(record, request, network, edited, self._kernel_rev))])

    def _join(self, lane: Lane, record: SessionRecord, network: Network) -> None:
        """Let the steps that wait behind the first go with it, where the network can be cut between them."""

        def admits(request: Request) -> bool:
            inputs = request.inputs
            assert inputs is not None
            if request.shape == lane.familiar:
                return True
            try:
                check_inputs(inputs, request.kind, record.meta, network.network, self._max_numbers)
            except CellarError:
                return False  # it is told so when its turn comes
            return True

        if not network.network.whole_sequences:
            join_waiting(lane, record, self._most_together, admits)

    def _ran(self, works: Sequence[Work], failure: Exception | None) -> None:
        """Commit what ran together. Called by the batchers."""
        tick: Tick = []
        for work in works:
            if isinstance(work, Attempt):
                work.end(failure or bad_number(work))
                continue
            lane = self._cache.known(work.record.key)
            assert lane is not None, "a lane that is busy stays"
            if not work.wanted:  # nothing is committed
                self._put_back(lane, len(work.requests))
                self._next(lane)
                continue
            result = failure or self._outcome(work)
            if not isinstance(result, Commit):
                self._refuse(lane, lane.current[0], result)
                continue
            self._put_back(lane, len(work.requests))
            tick.append((lane, result))
        if tick:
            self._commit(tick)

    def _outcome(self, work: Work) -> Commit | Exception:
        """Return the commit of a work, or what went wrong: it belongs to those who wait for this work alone."""
        try:
            return steps_commit(work, self._kernel_rev)
        except Exception as error:
            return error

    def _commit(self, tick: Tick) -> None:
        settle = partial(self._settle_some, tick, self._flights.begin())
        try:
            self._store.post([commit for _, commit in tick], settle)
        except Exception as error:  # a fault of our own: nothing was sent, and the lanes go on
            asyncio.get_running_loop().call_soon(settle, range(len(tick)), [error] * len(tick))

    def _settle_some(
        self, tick: Tick, flight: Flight, part: Sequence[int], results: Sequence[CommitResult | Exception]
    ) -> None:
        self._flights.end(flight)  # with the first part: what comes late is not to hold up the others
        for index, result in zip(part, results, strict=True):
            lane, commit = tick[index]
            try:
                self._settle(lane, commit, result)
            except Exception as error:  # a fault of our own: the lane goes on, and so do all others of the tick
                logger.exception("a commit of session %s was not settled", lane.key.session)
                self._end(lane, [error] * len(lane.current))
        if self._ahead is not None and self._is_idle():
            for index in part:
                self._look_ahead(self._ahead, *tick[index])

    def _settle(self, lane: Lane, commit: Commit, result: CommitResult | Exception) -> None:
        if isinstance(result, Applied):
            self._cache.believe(lane, commit.after)
            self._answer(lane, commit.changes, asked_s=result.asked_s)
        elif isinstance(result, Moved):
            self._cache.believe(lane, result.record)
            self._take_apart(lane)
            self._put_back(lane, 1)
            self._lost_race(lane, lane.current[0], commit, result.record)
        else:
            self._cache.believe(lane, None)
            if isinstance(result, Committed):
                self._take_apart(lane)
                self._put_back(lane, 1)
            self._end(lane, [result] * len(lane.current))

    def _may_go_as_one(self, request: Request, record: SessionRecord) -> bool:
        """Return whether one commit may have all that the request stands for."""
        return request.count == 1 or (request.count <= self._most_together and not record.meta.history)

    def _take_apart(self, lane: Lane) -> bool:
        """Let each step of what came as one go by itself: the first is on its way, the others wait again before all
        that wait. Return whether there was any."""
        if all([request.count == 1 for request in lane.current]):  # noqa: C419  # a generator costs twice as much
            return False
        lane.current = [single for request in lane.current for single in request.singles()]
        self._put_back(lane, 1)
        return True

    def _put_back(self, lane: Lane, kept: int) -> None:
        """Keep the first of the requests that are on their way; the others wait again, before all that wait."""
        if kept < len(lane.current):
            lane.waiting.extendleft(reversed(lane.current[kept:]))
            del lane.current[kept:]

    def _lost_race(self, lane: Lane, request: Request, commit: Commit, now: SessionRecord) -> None:
        before, time_s = commit.before, asyncio.get_running_loop().time()
        request.lost += 1
        if request.lost >= PATIENT_LOSSES:
            request.ask_s = min(2 * (time_s - request.tried_s), LONGEST_ASK_S)
        if now.meta.birth == before.meta.birth and now.revision <= before.revision:
            detail = f"the store has lost changes: this service had seen revision {before.revision} of the session"
            self._end(lane, [Regressed(detail, position=str(now.position))])
        elif time_s - request.taken_s > CONTENTION_S:
            self._end(lane, [_contended()])
        else:
            self._dispatch(lane, request)

    # --- endings ----------------------------------------------------------------------------------------------------

    def _refuse(self, lane: Lane, request: Request, error: Exception) -> None:
        """End the request with the error, unless its Idempotency-Key has an answer: that stands whatever is now.

        Those that were to go with it are no better off: they wait again.
        """
        if not isinstance(error, StoreUnavailable) and self._take_apart(lane):
            return self._dispatch(lane, lane.current[0])
        self._put_back(lane, 1)
        if request.identity.key is None or isinstance(error, StoreUnavailable):
            return self._end(lane, [error])
        return self._start(lane, request, self._find_or_refuse(lane, request, error))

    async def _find_or_refuse(self, lane: Lane, request: Request, error: Exception) -> None:
        try:
            found = await self._store.find(lane.key, Identity(key=request.identity.key), request.fingerprint)
        except CellarError as other:
            return self._end(lane, [other])
        return self._end(lane, [found if isinstance(found, Committed) else error])

    def _answer(self, lane: Lane, changes: Sequence[Change], asked_s: float) -> None:
        """Answer the requests that were on their way with the changes that they have made, and take up the next one.

        That waits for the pause that another process may have asked for.
        """
        answer(lane.current, changes)
        if asked_s:
            asyncio.get_running_loop().call_later(min(asked_s, LONGEST_ASK_S), self._next, lane)
        else:
            self._next(lane)

    def _end(self, lane: Lane, results: Sequence[Committed | Exception]) -> None:
        """Answer the requests that were on their way, each with its result, and take up the next one."""
        for request, result in zip(lane.current, results, strict=True):
            request.settle(result)
        self._next(lane)

    def _next(self, lane: Lane) -> None:
        self._leave(sum([request.count for request in lane.current]))
        self._begin(lane)

    def _leave(self, requests: int = 1) -> None:
        self._admission.leave(requests)
        if self._stopping and not self._admission.waiting:
            self._emptied.set()

    def _start(self, lane: Lane, request: Request, way: Coroutine[Any, Any, None]) -> None:
        """Go a part of the request's way that has to wait, and end the request if it fails there."""
        self._spawn(self._guard(lane, request, way))

    async def _guard(self, lane: Lane, request: Request, way: Coroutine[Any, Any, None]) -> None:
        try:
            await way
        except CellarError as error:
            self._refuse(lane, request, error)
        except Exception as error:
            self._end(lane, [error])

    def _spawn(self, way: Coroutine[Any, Any, None]) -> None:
        # tasks of our own: a caller that is cancelled cancels none of them
        task = asyncio.create_task(way)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- half-steps -------------------------------------------------------------------------------------------------

    def _look_ahead(self, ahead: Ahead, lane: Lane, commit: Commit) -> None:
        """Offer a session that was stepped, and may be again, to be computed ahead."""
        if lane.record is commit.after and lane.served is not None and commit.changes[-1].steps == 1:
            ahead.offer(lane, lane.served.model.network)

    def _keep_ahead(self, lane: Lane, record: SessionRecord, found: Floats) -> None:
        """Keep what was computed ahead, unless the session has moved meanwhile."""
        if lane.record is record and not lane.busy:
            self._cache.keep_ahead(lane, found)


def _contended() -> Overloaded:
    return Overloaded("other processes change this session without a pause")
