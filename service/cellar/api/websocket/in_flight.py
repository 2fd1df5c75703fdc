"""The steps in flight on one socket: submitted as they come, a window of them, answered in their session's order."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from cellar.api.decoding.step_order import Order
from cellar.api.websocket.submissions import Several, Submission, fault_of
from cellar.sessions.requests.request import PendingSteps
from cellar.sessions.requests.step_batch import StepBatch
from cellar.sessions.service.steps import Steps

SOCKET_WINDOW = 4096
"""Steps of all sessions in flight on one socket: as many as may wait in the service by default."""


KEPT_QUEUES = 64
"""Sessions without a step in flight that a socket of many keeps at hand: making a queue costs half a microsecond."""


class _Queue:
    """The steps of one session in flight, in their order. `hear` is called when the first is answered."""

    __slots__ = ("asks", "count", "hear", "session")

    def __init__(self, session: str, hear: "Callable[[_Queue, PendingSteps | None], None]") -> None:
        self.session = session
        self.asks: deque[Submission | Several] = deque()
        self.count = 0
        """Steps, of which an ask may be several."""
        self.hear = partial(hear, self)


class StepsInFlight:
    """Takes steps; calls `wake` once some are answered, and hands them out then."""

    def __init__(self, steps: Steps, wake: Callable[[], None], *, window: int, max_bytes: int) -> None:
        self._steps = steps
        self._wake = wake
        self._window = window
        self._max_bytes = max_bytes
        self._order = Order()
        self._queues: dict[str, _Queue] = {}
        self._answered: list[_Queue] = []
        self.count = 0
        """Steps that are not answered yet, of all sessions."""
        self._bytes = 0
        self._freed = asyncio.Event()

    def begin(self, ask: Submission | Several) -> Submission | Several | None:
        """Submit a step, or several; what is wrong with them is their answer.

        Return what there is no room for, if there is any: the session, or the socket, may have no more in flight.
        """
        queue = self._queues.get(ask.session)
        if queue is None:
            queue = self._queues[ask.session] = _Queue(ask.session, self._hear)
        if queue.count >= self._window or self.count >= SOCKET_WINDOW or self._bytes >= self._max_bytes:
            return ask
        left: Several | None = None
        if isinstance(ask, Several):
            room = min(self._window - queue.count, SOCKET_WINDOW - self.count, self._steps.queue_limit)
            if ask.count > room:
                ask, left = ask.cut(room)
            self._submit_several(ask)
        else:
            self._submit(ask)
        self.count += ask.count
        queue.count += ask.count
        self._bytes += ask.nbytes
        queue.asks.append(ask)
        if len(queue.asks) == 1:
            self._watch(queue)
        return left

    def land(self) -> list[Submission | Several]:
        """Return the steps that are answered now, those of a session in their order."""
        answered, self._answered = self._answered, []
        landed: list[Submission | Several] = []
        for queue in answered:
            asks = queue.asks
            while asks and asks[0].settle():
                ask = asks.popleft()
                landed.append(ask)
                self.count -= ask.count
                queue.count -= ask.count
                self._bytes -= ask.nbytes
                if ask.place is not None and ask.pending is not None:
                    self._order.end(queue.session, ask.place, ask.pending, failed=ask.error is not None)
            if asks:
                self._watch(queue)
            elif len(self._queues) > KEPT_QUEUES:
                del self._queues[queue.session]
        self._freed.set()
        return landed

    async def idle(self, session: str) -> None:
        """Wait until no step of the session is in flight."""
        while (queue := self._queues.get(session)) is not None and queue.asks:
            await self.landed()

    async def landed(self) -> None:
        """Wait until steps have landed, or `wake` is called."""
        self._freed.clear()
        await self._freed.wait()

    def wake(self) -> None:
        """Let those look again who wait."""
        self._freed.set()

    def forgive(self, session: str) -> None:
        """Let the session's steps go on behind one that failed: the client knows where it is."""
        self._order.forgive(session)

    def _submit(self, ask: Submission) -> None:
        place, command, session = ask.place, ask.command, ask.session
        try:
            if command is not None:
                if command.identity.position is not None:
                    self._order.forgive(session)
                after = None if place is None else self._order.predecessor(session, place)
                ask.pending = self._steps.submit(command, after)
        except Exception as error:
            ask.fail(fault_of(error))
        if place is not None:
            self._order.begin(session, place, ask.pending)

    def _submit_several(self, several: Several) -> None:
        place, session = several.place, several.session
        try:
            after = None if place is None else self._order.predecessor(session, place)
            pending = self._steps.submit(several.command, after)
            assert isinstance(pending, StepBatch)
            several.pending = pending
        except Exception as error:
            several.fail(fault_of(error))
        if place is not None:
            self._order.begin(session, place, several.pending)

    def _watch(self, queue: _Queue) -> None:
        """Wait for the first of a queue: those behind it are answered no sooner, and mostly together with it."""
        pending = queue.asks[0].pending
        if pending is None:
            self._hear(queue, None)
        else:
            pending.when_done(queue.hear)

    def _hear(self, queue: _Queue, _pending: PendingSteps | None) -> None:
        self._answered.append(queue)
        if len(self._answered) == 1:
            self._wake()
