"""Commits, and what becomes of them: their requests are answered, or go on.

If the session has moved, the record that came back is the new belief and the request is dispatched again: a lost race
is never an answer.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from cellar.errors import Overloaded, Regressed
from cellar.ports import Applied, Changes, Commit, CommitConflict, CommitResult, Committed, SessionRecord, SessionStore
from cellar.sessions.requests.group_commit import CommitInFlight, GroupCommit
from cellar.sessions.requests.request import Request
from cellar.sessions.requests.step_batch import answer
from cellar.sessions.scheduling.session_cache import SessionCache
from cellar.sessions.scheduling.session_queue import SessionQueue

logger = logging.getLogger(__name__)

PATIENT_LOSSES = 3
"""Races that a request loses by chance before it asks the other processes to let it in."""

LONGEST_ASK_S = 0.1
"""A process asks for twice what its last try took, and for no more than this."""

CONTENTION_S = 20.0
"""How long a request may lose races before it is given up: many asks, so only a fault gets there."""

CommitGroup = list[tuple[SessionQueue, Commit]]


class Committer:
    """Sends ticks. `again` dispatches a request that has lost a race; `go_on` takes up the next one of a queue."""

    def __init__(
        self,
        store: SessionStore,
        group_commit: GroupCommit,
        cache: SessionCache,
        again: Callable[[SessionQueue, Request[Any]], None],
        go_on: Callable[[SessionQueue], None],
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._cache = cache
        self._again = again
        self._go_on = go_on

    def commit(self, tick: CommitGroup) -> None:
        """Begin to apply the commits of requests that are on their way."""
        number = self._group_commit.number
        for queue, _ in tick:
            queue.tick = number
        settle = partial(self._settle_some, tick, self._group_commit.begin(len(tick)))
        try:
            self._store.post([commit for _, commit in tick], settle)
        except Exception as error:  # a fault of our own: nothing was sent, and the queues go on
            asyncio.get_running_loop().call_soon(settle, range(len(tick)), [error] * len(tick))

    def _settle_some(
        self,
        tick: CommitGroup,
        sent_commit: CommitInFlight,
        part: Sequence[int],
        results: Sequence[CommitResult | Exception],
    ) -> None:
        try:
            self._group_commit.end(sent_commit)  # with the first part: what comes late is not to hold up the others
        except Exception:  # those who are answered here have no part in what goes next
            logger.exception("the next tick was not begun")
        for index, result in zip(part, results, strict=True):
            queue, commit = tick[index]
            try:
                self._settle(queue, commit, result)
            except Exception as error:  # the others of the tick go on
                self._fail(queue, error)

    def _fail(self, queue: SessionQueue, error: Exception) -> None:
        """Answer the requests of a commit that could not be settled: a fault of our own."""
        logger.error("a commit of session %s was not settled", queue.key.session, exc_info=error)
        self._cache.believe(queue, None)
        self.end(queue, [error] * len(queue.current))

    def _settle(self, queue: SessionQueue, commit: Commit, result: CommitResult | Exception) -> None:
        if isinstance(result, Applied):
            self._cache.believe(queue, commit.after)
            self._answer(queue, commit.changes, asked_s=result.asked_s)
        elif isinstance(result, CommitConflict):
            self._cache.believe(queue, result.record)
            queue.take_apart()
            queue.put_back(1)
            self._lost_race(queue, queue.current[0], commit, result.record)
        else:
            self._cache.believe(queue, None)
            if isinstance(result, Committed):
                queue.take_apart()
                queue.put_back(1)
            self.end(queue, [result] * len(queue.current))

    def _lost_race(self, queue: SessionQueue, request: Request[Any], commit: Commit, now: SessionRecord) -> None:
        before, time_s = commit.before, monotonic()
        request.lost += 1
        if request.lost >= PATIENT_LOSSES:
            request.ask_s = min(2 * (time_s - request.tried_s), LONGEST_ASK_S)
        is_marked = now.meta.deleted is not None and before.meta.deleted is None  # which changes no revision
        least = before.revision if is_marked else before.revision + 1
        if now.meta.incarnation == before.meta.incarnation and now.revision < least:
            detail = f"the store has lost changes: this service had seen revision {before.revision} of the session"
            self.end(queue, [Regressed(detail, position=str(now.position))])
        elif time_s - request.taken_s > CONTENTION_S:
            self.end(queue, [contended()])
        else:
            self._again(queue, request)

    def _answer(self, queue: SessionQueue, changes: Changes, asked_s: float) -> None:
        """Answer the requests that were on their way with the changes that they have made, and take up the next one.

        That waits for the pause that another process may have asked for.
        """
        answer(queue.current, changes)
        if asked_s:
            asyncio.get_running_loop().call_later(min(asked_s, LONGEST_ASK_S), self._go_on, queue)
        else:
            self._go_on(queue)

    def end(self, queue: SessionQueue, results: Sequence[Committed | Exception]) -> None:
        """Answer the requests that were on their way, each with its result, and take up the next one."""
        for request, result in zip(queue.current, results, strict=True):
            if isinstance(result, Committed):
                request.succeed(result.position, result.steps, result.output, result.replayed)
            else:
                request.finish(result)
        self._go_on(queue)


def contended() -> Overloaded:
    """Return why a request is given up that others do not let in."""
    return Overloaded("other processes change this session without a pause")
