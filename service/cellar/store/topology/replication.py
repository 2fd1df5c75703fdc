"""Strict durability: a commit is acknowledged only when replicas have it.

Redis replicates after it has answered, so commits are followed by a WAIT on the connection that wrote them, one for a
whole group. An answer that was read from an earlier commit, perhaps of another process, is confirmed by a write of its
own: replicas apply writes in order, so a replica that has this write has the commit as well.
"""

from collections.abc import Sequence

from cellar.errors import StoreUnavailable
from cellar.ports import Applied, CommitResult, Committed, SessionKey
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Wait
from cellar.store.keys import SessionKeys

SHORT_MS = b"1000"
"""Lifetime of the key that a confirmation writes."""


class Replicas:
    """Checks that replicas have what a result acknowledges."""

    def __init__(self, wait: Wait, client: RetryingClient, keys: SessionKeys) -> None:
        self.wait = wait
        self._client = client
        self._keys = keys

    async def confirm(self, key: SessionKey) -> None:
        """Wait until replicas have everything that was written of a session so far. Raise StoreUnavailable."""
        mark = (b"SET", self._keys.mark(key), b"", b"PX", SHORT_MS)
        (answer,) = await self._client.execute([mark], wait=self.wait)
        if answer.copies < self.wait.replicas:
            raise self._missing(answer.copies)

    async def confirmed(
        self, keys: Sequence[SessionKey], results: Sequence[CommitResult], copies: Sequence[int | None]
    ) -> list[CommitResult]:
        """Return the results of commits, with an error for each that too few replicas have; None wrote nothing."""
        found: list[CommitResult] = []
        for key, result, count in zip(keys, results, copies, strict=True):
            if not isinstance(result, Applied | Committed):
                found.append(result)
            elif count is None:
                found.append(await self._replayed(key, result))
            else:
                found.append(result if count >= self.wait.replicas else self._missing(count))
        return found

    async def _replayed(self, key: SessionKey, result: Applied | Committed) -> CommitResult:
        try:
            await self.confirm(key)
        except StoreUnavailable as error:
            return error
        return result

    def _missing(self, count: int) -> StoreUnavailable:
        detail = f"applied, but {count} of the {self.wait.replicas} replicas that were waited for have it"
        return StoreUnavailable(detail, outcome="applied_not_durable")
