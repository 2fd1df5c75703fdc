"""Round-robin scheduling of busy connections: each works for a limited time in one turn of the event loop.

A client may send thousands of messages at once. If one callback handled all of them, the requests of all other clients
would wait. A connection therefore handles messages for a short time and adds the rest of its work to a queue. While
other clients send single requests, the queue also pauses between its turns.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

logger = logging.getLogger(__name__)

AT_ONCE_S = 0.006
"""Time that all connections together may take in one turn of the loop while the queue is empty."""
ONE_AT_ONCE_S = 0.001
"""Time that one connection may take of it: enough for about fifty steps. Messages of many clients are read in one turn,
so that their steps share a commit."""

TURN_S = 0.0005
"""Time for queued work in one turn of the loop."""
SHARE_S = 0.00025
"""Time that one connection may take of it."""

MOST_A_TURN = 4
"""Connections that are served in one turn. The number is limited because some works only start a task, which takes its
time later."""

PAUSE_S = 0.002
"""Pause between two turns while other clients send single requests. A step passes several turns of the loop, and
without pauses it would wait for queued work in each of them."""

SHARE_AMONG_OTHERS_S, MOST_AMONG_OTHERS = 0.0002, 2
"""Time of one connection, and number of connections, in a turn that a pause follows."""

CALM_S = 0.02
"""The pauses end this long after the last single request."""

Work = Callable[[float], None]
"""Does some work, until about that time of the monotonic clock, and adds what is left again."""


class RoundRobin:
    """The connections of a process that have something left to do."""

    def __init__(self) -> None:
        self._waiting: deque[Work] = deque()
        self._scheduled = False
        self._turn = -1.0
        self._until_s = 0.0
        self.single = 0
        """Number of requests that came alone, on connections that are not in the queue."""
        self._single_before = 0
        self._calm_s = 0.0
        """Time at which the pauses end."""
        self._idle_s = 0.0
        """Time until which a connection gets only SHARE_S at once, because the queue was in use."""

    def until_s(self) -> float:
        """Return until when a connection may work at once, by the monotonic clock: 0.0 if others wait already."""
        if self._waiting:
            return 0.0
        turn, now_s = asyncio.get_running_loop().time(), monotonic()  # uvloop's time stands still within a turn
        if turn != self._turn:
            self._turn, self._until_s = turn, now_s + AT_ONCE_S
        return min(self._until_s, now_s + (SHARE_S if now_s < self._idle_s else ONE_AT_ONCE_S))

    async def turn(self) -> float:
        """Wait for a turn. Return until when the task may work, by the monotonic clock."""
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.add(lambda _until_s: None if come.done() else come.set_result(None))
        await come
        return monotonic() + SHARE_AMONG_OTHERS_S

    def add(self, work: Work) -> None:
        """Have it done after what others have added."""
        self._waiting.append(work)
        if not self._scheduled:
            self._schedule(others=monotonic() < self._calm_s)

    def _schedule(self, *, others: bool) -> None:
        self._scheduled = True
        loop = asyncio.get_running_loop()
        if others:
            loop.call_later(PAUSE_S, self._run)
        else:
            loop.call_soon(self._run)

    def _run(self) -> None:
        now_s = monotonic()
        if self.single != self._single_before:
            self._single_before, self._calm_s = self.single, now_s + CALM_S
        others = now_s < self._calm_s
        share_s, most = (SHARE_AMONG_OTHERS_S, MOST_AMONG_OTHERS) if others else (SHARE_S, MOST_A_TURN)
        end_s = now_s + most * share_s if others else now_s + TURN_S
        for _ in range(min(most, len(self._waiting))):
            work = self._waiting.popleft()
            try:
                work(min(end_s, now_s + share_s))
            except Exception:  # of one connection; the others would wait for ever
                logger.exception("a connection has failed")
            now_s = monotonic()
            if now_s >= end_s:
                break
        self._idle_s = now_s + CALM_S
        self._scheduled = False
        if self._waiting:
            self._schedule(others=others)
