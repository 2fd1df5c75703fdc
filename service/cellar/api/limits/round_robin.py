"""What connections have left to do, dealt out fairly over turns of the event loop.

A client may send thousands of messages at once. Handled in one go they would hold up everybody else for as long as
they take. So a connection handles what it can in a short time, and puts what is left here; its turn comes round again
after those of the others.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

logger = logging.getLogger(__name__)

AT_ONCE_S = 0.006
"""What all connections together may do at once in a turn of the loop, while nobody has anything left, and"""
ONE_AT_ONCE_S = 0.001
"""what one of them may do of that: a burst of fifty steps. Bursts of many clients are read in one turn, since their
steps then share a commit; one client that floods gets no further than this."""

TURN_S = 0.0005
"""What is done in a turn of the loop of what was left, and"""
SHARE_S = 0.00025
"""what one connection may do of that."""

MOST_A_TURN = 4
"""Connections that get their share in a turn: some only start a task, whose work is done later."""

PAUSE_S = 0.002
"""Between two turns while others send requests one by one: a step waits for few turns then, and not for one at each
stage of its way."""

SHARE_AMONG_OTHERS_S, MOST_AMONG_OTHERS = 0.0002, 2
"""The share of a connection, and how many get theirs, in a turn behind which there is a pause."""

CALM_S = 0.02
"""How long after the last such request there are no more pauses."""

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
        """Requests that came one by one, of connections that had nothing left to do."""
        self._single_before = 0
        self._calm_s = 0.0
        """When pauses end, and"""
        self._idle_s = 0.0
        """when it is forgotten that a connection had something left to do."""

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
