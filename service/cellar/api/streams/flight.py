"""The steps in flight on one socket: submitted as they come, a window of them, answered in their session's order."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from cellar.api.services import TENANT
from cellar.api.streams.asks import Ask
from cellar.api.streams.order import Order
from cellar.errors import CellarError
from cellar.ports import SessionKey
from cellar.runtime.sessions import Sessions

SOCKET_WINDOW = 4096
"""Steps of all sessions in flight on one socket: as many as may wait in the service by default."""


class Flight:
    """Takes steps, and hands those that are answered to `land`. What waits to be sent counts as in flight."""

    def __init__(
        self, sessions: Sessions, land: Callable[[Sequence[Ask]], None], *, window: int, max_bytes: int
    ) -> None:
        self._sessions = sessions
        self._land = land
        self._window = window
        self._max_bytes = max_bytes
        self._order = Order()
        self._queues: dict[str, deque[Ask]] = {}
        self._unanswered: Counter[str] = Counter()
        self.count = 0
        """Steps that are not answered yet, of all sessions."""
        self._bytes = 0
        self._freed = asyncio.Event()

    def is_full(self, session: str) -> bool:
        """Return whether the session, or the socket, may have no more steps in flight."""
        full = self.count >= SOCKET_WINDOW or self._bytes >= self._max_bytes
        return full or self._unanswered.get(session, 0) >= self._window

    async def room(self, session: str) -> None:
        """Wait until the session, and the socket, may have one more step in flight."""
        while self.is_full(session):
            await self._change()

    async def idle(self, session: str | None = None) -> None:
        """Wait until no step of the session, or of any, is in flight."""
        while self._unanswered[session] if session is not None else self.count:
            await self._change()

    def begin(self, session: str, ask: Ask) -> None:
        """Submit a step. What is wrong with it is its answer."""
        ask.session = session
        self._submit(session, ask)
        self.count += 1
        self._unanswered[session] = self._unanswered.get(session, 0) + 1
        self._bytes += ask.nbytes
        queue = self._queues.get(session)
        if queue is None:
            self._queues[session] = deque((ask,))
            self._watch(session, ask)
        else:
            queue.append(ask)

    def sent(self, asks: Iterable[Ask]) -> None:
        """Note that steps have been answered, as far as we can tell."""
        for ask in asks:
            assert ask.session is not None
            self.count -= 1
            self._bytes -= ask.nbytes
            self._unanswered[ask.session] -= 1
            if not self._unanswered[ask.session]:
                del self._unanswered[ask.session]
        self._freed.set()

    def forgive(self, session: str) -> None:
        """Let the session's steps go on behind one that failed: the client knows where it is."""
        self._order.forgive(session)

    async def _change(self) -> None:
        self._freed.clear()
        await self._freed.wait()

    def _submit(self, session: str, ask: Ask) -> None:
        place, asked = ask.place, ask.asked
        try:
            if asked is not None:
                if asked.identity.position is not None:
                    self._order.forgive(session)
                ask.pending = self._sessions.submit(
                    SessionKey(TENANT, session),
                    ask.kind,
                    asked.inputs,
                    asked.identity,
                    reset=asked.reset,
                    deadline_s=ask.timeout_s,
                    after=None if place is None else self._order.predecessor(session, place),
                )
        except CellarError as error:
            ask.fail(error)
        if place is not None:
            self._order.begin(session, place, ask.pending)

    def _watch(self, session: str, head: Ask) -> None:
        """Wait for the first of a queue: those behind it are answered no sooner."""
        if head.pending is None:
            asyncio.get_running_loop().call_soon(self._look, session)
        else:
            head.pending.when_done(lambda _: self._look(session))

    def _look(self, session: str) -> None:
        """Hand on what is answered. Steps that went together are answered together, so this is one call for many."""
        queue, landed = self._queues[session], []
        while queue and queue[0].settled:
            ask = queue.popleft()
            self._bytes -= ask.nbytes
            ask.settle()
            self._bytes += ask.nbytes
            if ask.place is not None and ask.pending is not None:
                self._order.end(session, ask.place, ask.pending, failed=ask.error is not None)
            landed.append(ask)
        if queue:
            self._watch(session, queue[0])
        else:
            del self._queues[session]
        self._land(landed)
