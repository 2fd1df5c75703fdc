"""Finds sessions that have expired: names in the listing whose record is gone.

Redis sends no reliable notification when it expires a key. So all names are checked in turn, one batch a second for all
processes together: a key in Redis marks that the batch of this second is taken, and another where the next one begins.
If a process dies in the middle of a batch, the next process repeats it. Ten thousand sessions are checked in some
minutes, a million in little more than an hour. A request for a session does not wait for this: it finds that the
session has expired.
"""

from collections.abc import Sequence

from cellar.errors import InvalidInput
from cellar.store.connection.retry import RetryingClient
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import text
from cellar.store.sessions.index import SessionIndex

SWEEP_S = 1.0
"""Interval between batches of a few hundred names, which take a millisecond."""


class ExpirySweeper:
    """Searches the listing for expired sessions. All processes have one, and take turns."""

    def __init__(
        self,
        client: RetryingClient,
        keys: SessionKeys,
        listing: SessionIndex,
        tenants: Sequence[str],
        *,
        every_s: float,
    ) -> None:
        self._client = client
        self._keys = keys
        self._listing = listing
        self._tenants = tenants
        self._every_s = every_s

    async def run(self) -> None:
        """Check the batch that is due, unless another process has taken it. Raise StoreUnavailable."""
        if await self.take_turn():
            await self.sweep()

    async def take_turn(self) -> bool:
        """Return whether this process is to check the batch that is due. Raise StoreUnavailable."""
        return await self._client.take_turn(self._keys.sweep_turn, self._every_s)

    async def sweep(self) -> None:
        """Check the next names, and remove those of expired sessions. Raise StoreUnavailable."""
        for tenant in self._tenants:
            place = self._keys.sweep_cursor(tenant)
            (cursor,) = await self._client.read([(b"GET", place)])
            try:
                keys, after = await self._listing.next_names(tenant, "" if cursor is None else text(cursor))
            except InvalidInput:  # not what a sweeper wrote
                keys, after = await self._listing.next_names(tenant, "")
            dead = await self._listing.without_record(keys) if keys else []
            if dead:
                await self._listing.remove(dead)
            await self._client.execute([(b"SET", place, after.encode())])
