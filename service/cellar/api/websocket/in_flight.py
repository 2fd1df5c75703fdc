"""The steps in flight on one socket: a limited window, submitted as received and answered in their session's order."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from cellar.api.decoding.steps.step_order import Order
from cellar.api.websocket.submissions import Several, Submission, fault_of
from cellar.sessions.forwarding.forwarded import PendingBatch
from cellar.sessions.requests.request import PendingSteps
from cellar.sessions.service.steps import Steps

SOCKET_WINDOW = 4096
"""Steps of all sessions in flight on one socket: as many as may wait in the service by default."""


KEPT_QUEUES = 64
"""Queues of sessions without a step in flight that a socket keeps, because making one takes half a microsecond."""


class _Queue:
    """The steps of one session in flight, in their order. `on_done` is called when the first is answered."""

    __slots__ = ("count", "on_done", "session", "submissions")

    def __init__(self, session: str, on_done: "Callable[[_Queue, PendingSteps | None], None]") -> None:
        self.session = session
        self.submissions: deque[Submission | Several] = deque()
        self.count = 0
        """Steps of all submissions, each of which may have several."""
        self.on_done = partial(on_done, self)


class StepsInFlight:
    """Submits steps, and calls `wake` when some are answered."""

    def __init__(self, steps: Steps, wake: Callable[[], None], *, window: int, max_bytes: int) -> None:
        self._steps = steps
        self._wake = wake
        self._window = window
        self._max_bytes = max_bytes
        self._order = Order()
        self._queues: dict[str, _Queue] = {}
        self._answered: list[_Queue] = []
        self.count = 0
        """Steps of all sessions that are not answered yet."""
        self._bytes = 0
        self._freed = asyncio.Event()

    def begin(self, submission: Submission | Several) -> Submission | Several | None:
        """Submit a step, or several. Return the part for which the session or the socket has no room, if any."""
        queue = self._queues.get(submission.session)
        if queue is None:
            queue = self._queues[submission.session] = _Queue(submission.session, self._note_done)
        if queue.count >= self._window or self.count >= SOCKET_WINDOW or self._bytes >= self._max_bytes:
            return submission
        left: Several | None = None
        if isinstance(submission, Several):
            room = min(self._window - queue.count, SOCKET_WINDOW - self.count, self._steps.admission.most)
            if submission.count > room:
                submission, left = submission.cut(room)
            self._submit_several(submission)
        else:
            self._submit(submission)
        self.count += submission.count
        queue.count += submission.count
        self._bytes += submission.nbytes
        queue.submissions.append(submission)
        if len(queue.submissions) == 1:
            self._watch(queue)
        return left

    def take_answered(self) -> list[Submission | Several]:
        """Remove and return the answered submissions, those of a session in their order."""
        answered, self._answered = self._answered, []
        taken: list[Submission | Several] = []
        for queue in answered:
            submissions = queue.submissions
            while submissions and submissions[0].settle():
                submission = submissions.popleft()
                taken.append(submission)
                self.count -= submission.count
                queue.count -= submission.count
                self._bytes -= submission.nbytes
                if submission.place is not None and submission.pending is not None:
                    self._order.end(
                        queue.session, submission.place, submission.pending, failed=submission.error is not None
                    )
            if submissions:
                self._watch(queue)
            elif len(self._queues) > KEPT_QUEUES:
                del self._queues[queue.session]
        self._freed.set()
        return taken

    async def idle(self, session: str) -> None:
        """Wait until no step of the session is in flight."""
        while (queue := self._queues.get(session)) is not None and queue.submissions:
            await self.wait_for_answers()

    async def wait_for_answers(self) -> None:
        """Wait until steps are answered, or `wake` is called."""
        self._freed.clear()
        await self._freed.wait()

    def wake(self) -> None:
        """End the waits of `wait_for_answers`."""
        self._freed.set()

    def forget_failures(self, session: str) -> None:
        """Accept steps of the session after a failed one: the client knows its position now."""
        self._order.forget_failures(session)

    def _submit(self, submission: Submission) -> None:
        place, command, session = submission.place, submission.command, submission.session
        try:
            if command is not None:
                if command.identity.position is not None:
                    self._order.forget_failures(session)
                after = None if place is None else self._order.predecessor(session, place)
                submission.pending = self._steps.submit(command, after)
        except Exception as error:
            submission.fail(fault_of(error))
        if place is not None:
            self._order.begin(session, place, submission.pending)

    def _submit_several(self, several: Several) -> None:
        place, session = several.place, several.session
        try:
            after = None if place is None else self._order.predecessor(session, place)
            pending = self._steps.submit(several.command, after)
            assert isinstance(pending, PendingBatch)
            several.pending = pending
        except Exception as error:
            several.fail(fault_of(error))
        if place is not None:
            self._order.begin(session, place, several.pending)

    def _watch(self, queue: _Queue) -> None:
        """Wait for the first submission of a queue. The others are never answered before it, and mostly with it."""
        pending = queue.submissions[0].pending
        if pending is None:
            self._note_done(queue, None)
        else:
            pending.when_done(queue.on_done)

    def _note_done(self, queue: _Queue, _pending: PendingSteps | None) -> None:
        self._answered.append(queue)
        if len(self._answered) == 1:
            self._wake()
