"""Finds sessions that have expired: names in the listing whose record is gone.

Redis sends no reliable notification when it expires a key. So all names are checked in turn, one batch a second for all
processes together: a key in Redis marks that this second is taken, and another where the next batch begins. If a
process dies in the middle of a batch, the next process repeats it. Ten thousand sessions are checked in half a minute,
a million in less than an hour. After a batch with many expired sessions the next one follows at once, after a short
pause for others: then some thousand names are checked in a second. A request for a session does not
wait for this: it finds that the session has expired.
"""

import asyncio
from collections.abc import Iterable

from cellar.errors import InvalidInput
from cellar.store.connection.retry import RetryingClient
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, text
from cellar.store.sessions.index import MANY, SessionIndex

SWEEP_S = 1.0
"""Interval between batches of a few hundred names, which take a millisecond."""

MANY_EXPIRED = MANY // 16
"""Expired sessions in a batch after which the next batch follows at once."""

PAUSE_S = 0.02
"""Pause before it. A batch of expired sessions takes 6 ms of CPU."""

AT_ONCE = 64
"""Expired sessions that are removed in one call: half a millisecond of Redis."""


class ExpirySweeper:
    """Searches the listing for expired sessions. All processes have one, and take turns."""

    def __init__(
        self,
        client: RetryingClient,
        keys: SessionKeys,
        listing: SessionIndex,
        tenants: Iterable[str],
        *,
        every_s: float,
    ) -> None:
        self._client = client
        self._keys = keys
        self._listing = listing
        self._tenants = tenants
        self._every_s = every_s

    async def run(self) -> None:
        """Check the batches that are due, unless another process does it. Raise StoreUnavailable."""
        if not await self.take_turn():
            return
        while await self.sweep():
            await self._client.execute([self._keep_turn()])
            await asyncio.sleep(PAUSE_S)

    async def take_turn(self) -> bool:
        """Return whether this process is to check the batches of the next second. Raise StoreUnavailable."""
        return await self._client.take_turn(self._keys.sweep_turn, self._every_s)

    async def sweep(self) -> bool:
        """Check the next names, and remove those of expired sessions; return whether these were many.

        Raise StoreUnavailable.
        """
        expired = 0
        for tenant in self._tenants:
            place = self._keys.sweep_cursor(tenant)
            (cursor,) = await self._client.read([(b"GET", place)])
            try:
                keys, after = await self._listing.next_names(tenant, "" if cursor is None else text(cursor))
            except InvalidInput:  # not what a sweeper wrote
                keys, after = await self._listing.next_names(tenant, "")
            dead = await self._listing.without_record(keys) if keys else []
            parts = [dead[first : first + AT_ONCE] for first in range(0, len(dead), AT_ONCE)]
            await asyncio.gather(*map(self._listing.remove, parts))
            await self._client.execute([(b"SET", place, after.encode())])
            expired += len(dead)
        return expired >= MANY_EXPIRED

    def _keep_turn(self) -> Command:
        return (b"SET", self._keys.sweep_turn, b"", b"PX", b"%d" % max(1, self._every_s * 1000))
