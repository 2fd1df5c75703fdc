"""A writer that keeps account of what its session must have, through the death of a primary."""

import asyncio
from itertools import count

from cellar.ports import Commit, SessionRecord
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Wait
from cellar.store.sessions.store import RedisSessions
from tests.store.session_values import a_commit, after


class History:
    """What one writer knows of its session."""

    def __init__(self, record: SessionRecord) -> None:
        self.record = record
        self.commits: list[Commit] = []
        self.acknowledged = 0
        self._more = asyncio.Condition()

    @property
    def last(self) -> SessionRecord:
        """The session as it should be."""
        return after(self.commits[-1]) if self.commits else self.record

    async def write(self, sessions: RedisSessions, retrying_client: RetryingClient, ends: asyncio.Event) -> None:
        """Commit step after step; one counts as acknowledged when a replica has it."""
        for number in count():
            if ends.is_set():
                break
            commit = a_commit(self.last, number)
            self.commits.append(commit)
            (answer,) = await retrying_client.execute([sessions.encoder.call(commit)], wait=Wait(1, 1000))
            if not isinstance(answer.reply, int):
                self._stand_at(await sessions.load(self.record.key))
            elif answer.copies:
                async with self._more:
                    self.acknowledged = len(self.commits)
                    self._more.notify_all()

    async def acknowledges(self, steps: int) -> None:
        """Wait until so many steps have been acknowledged."""
        async with self._more:
            await self._more.wait_for(lambda: self.acknowledged >= steps)

    def _stand_at(self, found: SessionRecord) -> None:
        """Go on from where the session stands: behind the last commit, or further back, but not too far."""
        while self.last != found:
            self.commits.pop()
        assert len(self.commits) >= self.acknowledged, "an acknowledged step is lost"
