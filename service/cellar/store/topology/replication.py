"""Strict durability: what is acknowledged is on a replica as well.

Redis copies to its replicas after it has answered, so a commit is followed by a WAIT on the connection that wrote it,
one for all commits of a tick. What was answered from the record of an earlier commit, perhaps of another process, is
confirmed by a write of its own: replicas take writes in their order, so who has this one has all before it.
"""

from collections.abc import Sequence

from cellar.errors import StoreUnavailable
from cellar.ports import Applied, CommitResult, Committed, SessionKey
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Wait
from cellar.store.keys import SessionKeys

SHORT_MS = b"1000"
"""How long the mark stays that a confirmation writes."""


class Replicas:
    """Says of results whether replicas have them."""

    def __init__(self, wait: Wait, client: RetryingClient, keys: SessionKeys) -> None:
        self.wait = wait
        self._client = client
        self._keys = keys

    async def confirm(self, key: SessionKey) -> None:
        """Wait until all that was ever written of a session is on replicas. Raise StoreUnavailable."""
        mark = (b"SET", self._keys.mark(key), b"", b"PX", SHORT_MS)
        (answer,) = await self._client.execute([mark], wait=self.wait)
        if answer.copies < self.wait.replicas:
            raise self._missing(answer.copies)

    async def confirmed(
        self, keys: Sequence[SessionKey], results: Sequence[CommitResult], copies: Sequence[int | None]
    ) -> list[CommitResult]:
        """Return the results of a tick, errors in the place of what too few replicas have.

        `copies` says how many have what was written now, None where nothing was.
        """
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
